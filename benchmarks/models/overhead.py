"""What the wrappers of a call cost in CPU time, against the bare HTTP client and their limits, in one run.

    python benchmarks/models/overhead.py [CALLS]

The server is another process, so that its time is not counted.

- `client`: the bare wire client on the same exchange. `endpoint` adds the provider's format.
- `miss`: the whole stack on top of that: cache lookup, keeping in memory, retry, limits, budget with a known price.
- `hit`: an answer from memory; `stored`: one from a SQLite store; `replay`: one from a recording.
- `wrappers`: the stack around a model that answers at once, less that model. (On a busy machine, the difference of two
  exchanges is mostly the machine's.)

Limits: the wrappers at most 60 microseconds a call, a hit 40, a replay 30.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from proveout import wire
from proveout.evaluation.recording import StoredCalls
from proveout.models import Budget, Generation, ModelPool, Request, Usage
from proveout.models.cache import CallKeys
from proveout.models.providers import open_endpoint
from proveout.project.records import Message, ModelSpec, Price
from proveout.storage import Store, open_store

ROUNDS = 5
WORKERS = 64
LIMITS_US = {"wrappers": 60.0, "hit": 40.0, "stored": 40.0, "replay": 30.0}

PROMPT = "You sort customers' messages by intent. Answer with one of: " + ", ".join(f"intent_{n}" for n in range(40))
ANSWER = json.dumps(
    {
        "id": "chatcmpl-1",
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "intent_7"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 300, "completion_tokens": 4, "total_tokens": 304},
    }
).encode()


class MemoryCache:
    def __init__(self) -> None:
        self.kept: dict[bytes, Generation] = {}

    def get(self, key: bytes) -> Generation | None:
        return self.kept.get(key)

    async def put(self, key: bytes, generation: Generation) -> None:
        self.kept[key] = generation


class Instant:
    """A model that answers at once, though not without letting others run."""

    async def generate(self, request: Request) -> Generation:
        await asyncio.sleep(0)
        return Generation(text="intent_7", usage=Usage(input_tokens=300, output_tokens=4))

    async def aclose(self) -> None: ...


def request(number: int, start: int = 0) -> Request:
    return Request(
        messages=(Message("system", PROMPT), Message("user", f"Where is my card, number {start + number}?")),
        parameters={"temperature": 0, "max_tokens": 16},
        example=str(number),
    )


async def serve() -> None:
    async def respond(_: wire.ServerRequest, responder: wire.Responder) -> None:
        responder.reply(200, [("content-type", "application/json")], ANSWER)

    server = await wire.serve(respond)
    print(server.port, flush=True)
    await asyncio.Event().wait()


async def cpu_us(calls: int, call: Callable[[int], Awaitable[object]]) -> float:
    """CPU microseconds of this process for each call."""
    numbers = iter(range(calls))

    async def work() -> None:
        for number in numbers:
            await call(number)

    began = time.process_time()
    await asyncio.gather(*(work() for _ in range(WORKERS)))
    return (time.process_time() - began) / calls * 1e6


async def measure(port: int, calls: int, folder: Path, store: Store) -> dict[str, list[float]]:
    spec = ModelSpec(provider="openai-compatible", name="m", url=f"http://127.0.0.1:{port}/v1")
    recording = folder / "recording.jsonl"
    recording.write_text("".join(json.dumps({"id": str(n), "output": "intent_7"}) + "\n" for n in range(calls)))
    price = Price(provider="openai-compatible", model="m", since="2026-01-01", input=1.0, output=4.0)
    budget = Budget(max_calls=10**9, max_cost_usd=1e6)
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": PROMPT}], "max_tokens": 16}).encode()
    headers = [("content-type", "application/json")]
    keys = CallKeys(spec)
    took: dict[str, list[float]] = {}
    async with wire.Client() as client, ModelPool(prices=[price], cache=MemoryCache(), budget=budget) as pool:
        model, endpoint = pool.open(spec), open_endpoint(spec, client)
        replay = pool.open(ModelSpec(provider="replay", options={"path": str(recording)}))

        instant = Instant()
        wrapped = pool.wrap(instant, spec)
        stored = ModelPool(cache=StoredCalls(store.calls)).wrap(instant, spec)
        await cpu_us(calls, lambda n: stored.generate(request(n)))

        async def key(number: int) -> bytes:
            return keys.key(request(number))

        async def build(number: int) -> Request:
            return request(number)

        for turn in range(ROUNDS):
            start = turn * calls
            subjects: dict[str, Callable[[int], Awaitable[object]]] = {
                "request": build,
                "client": lambda _: client.send("POST", f"{spec.url}/chat/completions", headers=headers, body=body),
                "endpoint": lambda n, start=start: endpoint.generate(request(n, start)),
                "miss": lambda n, start=start: model.generate(request(n, start)),
                "hit": lambda n, start=start: model.generate(request(n, start)),
                "stored": lambda n: stored.generate(request(n)),
                "instant": lambda n, start=start: instant.generate(request(n, start)),
                "wrappers": lambda n, start=start: wrapped.generate(request(n, -1 - start - calls)),
                "key": key,
                "replay": lambda n: replay.generate(request(n)),
            }
            for name, call in subjects.items():
                took.setdefault(name, []).append(await cpu_us(calls, call))
    return took


def main() -> None:
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    server = subprocess.Popen([sys.executable, __file__, "serve"], stdout=subprocess.PIPE)
    assert server.stdout is not None
    try:
        port = int(server.stdout.readline())
        with tempfile.TemporaryDirectory() as folder, open_store(f"sqlite:///{folder}/store.db") as store:
            took = wire.run(measure(port, calls, Path(folder), store))
    finally:
        server.kill()
        server.wait()
    best = {name: min(times) for name, times in took.items()}
    built = best.pop("request")
    best["wrappers"] -= best.pop("instant")
    for name in ("endpoint", "miss", "hit", "stored", "key", "replay"):
        best[name] -= built
    print(f"CPU microseconds a call, best of {ROUNDS} rounds of {calls} calls, {WORKERS} at once:")
    for name, us in best.items():
        limit = LIMITS_US.get(name)
        against = (
            f"{us / limit:5.2f} of its limit of {limit:g}" if limit else f"{us / best['client']:5.2f} of the client"
        )
        print(f"  {name:9} {us:7.1f}   {against}")


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        wire.run(serve())
    else:
        main()
