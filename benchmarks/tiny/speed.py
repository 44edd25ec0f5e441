"""How fast the built-in model is, against its limits and against itself.

OMP_NUM_THREADS=1 python -m benchmarks.tiny.speed
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence

from proveout import wire
from proveout.models._base import Request
from proveout.models.tiny import TinyModel, tiny_app
from proveout.models.tiny.instructions import PROMPT, Instruction
from proveout.models.tiny.tickets import golden
from proveout.project.records import Message

CONCURRENCIES = (1, 4, 16, 32, 64)
TICKETS = 480
LOAD_LIMIT_MS = 50.0
RATE_LIMIT = 100.0
GAIN_LIMIT = 2.0

LOAD = """
import time; from proveout.models.tiny import engine, model, weights
started = time.perf_counter(); engine.load_engine("f16"); model.load_tokenizer()
print((time.perf_counter() - started) * 1000)
"""

Ask = Callable[[str], Awaitable[int]]


def load_ms() -> float:
    """The median of nine fresh processes, without importing numpy."""
    runs = [subprocess.run([sys.executable, "-c", LOAD], capture_output=True, check=True) for _ in range(9)]
    return sorted(float(run.stdout) for run in runs)[4]


async def rate(ask: Ask, messages: Sequence[str], concurrency: int) -> tuple[float, float, float]:
    """Requests a second by the wall clock and by the processor's, and tokens a request."""
    gate = asyncio.Semaphore(concurrency)

    async def one(message: str) -> int:
        async with gate:
            return await ask(message)

    await one(messages[0])
    wall, processor = time.perf_counter(), time.process_time()
    tokens = await asyncio.gather(*map(one, messages))
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    return len(messages) / wall, len(messages) / processor, sum(tokens) / len(messages)


def in_process(model: TinyModel, system: str, *, heat: float = 0.0) -> Ask:
    async def ask(message: str) -> int:
        messages = (Message("system", system), Message("user", message))
        parameters = {"temperature": heat, "max_tokens": 24}
        generation = await model.generate(Request(messages=messages, parameters=parameters))
        assert generation.usage is not None
        return generation.usage.input_tokens + generation.usage.output_tokens

    return ask


def over_http(client: wire.Client, port: int, *, stream: bool) -> Ask:
    async def ask(message: str) -> int:
        body = {
            "model": "tiny-f16",
            "messages": [{"role": "system", "content": PROMPT}, {"role": "user", "content": message}],
            "temperature": 0,
            "stream": stream,
        }
        url = f"http://127.0.0.1:{port}/v1/chat/completions"
        response = await client.send("POST", url, body=json.dumps(body).encode())
        assert response.status == 200
        return 0

    return ask


async def run() -> None:
    messages = [row["input"]["message"] for row in golden(TICKETS, 20)]
    model = TinyModel()
    print("\n| asked how | at once | requests/s | requests per CPU second | tokens/request | gain in CPU |")
    print("|---" * 6 + "|")
    shortest = Instruction("word", labels=False, first=False).text()
    gains: dict[int, float] = {}
    best = 0.0
    alone = 0.0
    for concurrency in CONCURRENCIES:
        wall, processor, tokens = await rate(in_process(model, PROMPT), messages, concurrency)
        alone = alone or processor
        gains[concurrency] = processor / alone
        best = max(best, processor)
        line = f"{wall:.0f} | {processor:.0f} | {tokens:.1f} | {gains[concurrency]:.1f} ×"
        print(f"| the example's prompt | {concurrency} | {line} |", flush=True)
    for name, ask in (
        ("a short prompt", in_process(model, shortest)),
        ("temperature 1.5", in_process(model, PROMPT, heat=1.5)),
    ):
        wall, processor, tokens = await rate(ask, messages, 32)
        print(f"| {name} | 32 | {wall:.0f} | {processor:.0f} | {tokens:.1f} | |", flush=True)
    await model.aclose()

    app = tiny_app(("f16",))
    server = await wire.serve(app)
    async with wire.Client() as client:
        for name, stream in (("HTTP, client in the same process", False), ("HTTP, streamed", True)):
            wall, processor, _ = await rate(over_http(client, server.port, stream=stream), messages, 16)
            print(f"| {name} | 16 | {wall:.0f} | {processor:.0f} | | |", flush=True)
    await server.close()
    await app.aclose()
    print(f"\none core: {best:.0f} requests/s, {best / RATE_LIMIT:.1f} × the limit of {RATE_LIMIT:.0f}")
    print(f"16 at once: {gains[16]:.1f} × one at a time (limit {GAIN_LIMIT:.0f} ×)")


def main() -> None:
    loaded = load_ms()
    print(f"load: {loaded:.1f} ms, {loaded / LOAD_LIMIT_MS:.2f} × the limit of {LOAD_LIMIT_MS:.0f} ms")
    wire.run(run())


if __name__ == "__main__":
    main()
