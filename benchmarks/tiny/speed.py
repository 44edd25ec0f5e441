"""How fast the built-in model is, against its limits and against itself: the best of several rounds each.

OMP_NUM_THREADS=1 python -m benchmarks.tiny.speed
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from proveout import wire
from proveout.models._base import Request
from proveout.models.tiny import TinyModel, tiny_app
from proveout.models.tiny.instructions import PROMPT, Instruction
from proveout.models.tiny.tickets import golden
from proveout.project.records import Message

AT_ONCE = (1, 4, 16, 32, 64)
TICKETS = 120
ROUNDS = 5
LOAD_LIMIT_MS = 50.0
RATE_LIMIT = 100.0
GAIN_LIMIT = 2.0

LOAD = """
import time; from proveout.models.tiny import engine, model, weights
started = time.process_time(); engine.load_engine("f16"); model.load_tokenizer()
print((time.process_time() - started) * 1000)
"""

Ask = Callable[[str], Awaitable[int]]


def load_ms() -> float:
    """Processor time, the best of nine fresh processes, without importing numpy."""
    runs = [subprocess.run([sys.executable, "-c", LOAD], capture_output=True, check=True) for _ in range(9)]
    return min(float(run.stdout) for run in runs)


@dataclass(frozen=True)
class Pace:
    """Requests a second by the wall clock and by the processor's, and tokens a request."""

    wall: float
    processor: float
    tokens: float


async def rate(ask: Ask, messages: Sequence[str], concurrency: int) -> Pace:
    gate = asyncio.Semaphore(concurrency)

    async def one(message: str) -> int:
        async with gate:
            return await ask(message)

    wall, processor = time.perf_counter(), time.process_time()
    tokens = await asyncio.gather(*map(one, messages))
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    return Pace(len(messages) / wall, len(messages) / processor, sum(tokens) / len(messages))


async def best_of(trials: dict[str, tuple[Ask, int]], messages: Sequence[str]) -> dict[str, Pace]:
    """Each way's best round. All ways take turns, so that other work on this machine disturbs none more than others."""
    found: dict[str, Pace] = {}
    for name, (ask, _) in trials.items():
        await ask(messages[0])
        found[name] = Pace(0.0, 0.0, 0.0)
    for _ in range(ROUNDS):
        for name, (ask, concurrency) in trials.items():
            pace, best = await rate(ask, messages, concurrency), found[name]
            found[name] = Pace(max(best.wall, pace.wall), max(best.processor, pace.processor), pace.tokens)
    return found


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
    shortest = Instruction("word", labels=False, first=False).text()
    model, app = TinyModel(), tiny_app(("f16",))
    server = await wire.serve(app)
    async with wire.Client() as client:
        trials = {
            f"the example's prompt, {at_once} at once": (in_process(model, PROMPT), at_once) for at_once in AT_ONCE
        }
        trials |= {
            "a short prompt, 32 at once": (in_process(model, shortest), 32),
            "temperature 1.5, 32 at once": (in_process(model, PROMPT, heat=1.5), 32),
            "HTTP, client in the same process, 16 at once": (over_http(client, server.port, stream=False), 16),
            "HTTP, streamed, 16 at once": (over_http(client, server.port, stream=True), 16),
        }
        found = await best_of(trials, messages)
    await server.close()
    await app.aclose()
    await model.aclose()
    print("\n| asked how | requests/s | requests per CPU second | tokens/request |\n|---|---|---|---|")
    for name, pace in found.items():
        print(f"| {name} | {pace.wall:.0f} | {pace.processor:.0f} | {f'{pace.tokens:.1f}' if pace.tokens else ''} |")
    alone, together = (found[f"the example's prompt, {at_once} at once"].processor for at_once in (1, 16))
    best = found["a short prompt, 32 at once"]
    ratio = best.processor / RATE_LIMIT
    print(f"\none core, {best.tokens:.0f} tokens a request: {best.processor:.0f} requests/s, {ratio:.1f} × the limit")
    print(f"16 at once: {together / alone:.1f} × one at a time (limit {GAIN_LIMIT:.0f} ×)")


def main() -> None:
    loaded = load_ms()
    print(f"load: {loaded:.1f} ms, {loaded / LOAD_LIMIT_MS:.2f} × the limit of {LOAD_LIMIT_MS:.0f} ms")
    wire.run(run())


if __name__ == "__main__":
    main()
