"""CPU of a call through a provider, wire included, against a limit and against the official SDK where it is installed.

    python benchmarks/models/calls.py [--calls N] [--concurrency N]

The server is a process of its own, so that all CPU counted here is the caller's. Rounds of ours, of the bare wire and
of the SDK take turns, and the median round of each is shown, so that a busy machine slows all of them alike.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import resource
import statistics
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from typing import Any

from proveout import wire
from proveout.models._base import Request
from proveout.models.providers import open_endpoint
from proveout.project.records import Message, ModelSpec

LIMIT_MS = 0.25
CHUNKS = 64
ANSWER = json.dumps(
    {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m", "system_fingerprint": "fp",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "word " * 60, "refusal": None},
                     "logprobs": None, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 300, "completion_tokens": 60, "total_tokens": 360},
    }
).encode()  # fmt: skip
MESSAGES = (Message("system", "Classify the ticket. " * 60), Message("user", "Where is my package? " * 12))


def _chunk(content: str | None) -> bytes:
    delta = {} if content is None else {"content": content}
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": "stop" if content is None else None}
    value = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return f"data: {json.dumps(value)}\n\n".encode()


def _serve(announce: Connection) -> None:
    async def app(request: wire.ServerRequest, responder: wire.Responder) -> None:
        if b'"stream":true' not in request.body and b'"stream": true' not in request.body:
            responder.reply(200, (("content-type", "application/json"),), ANSWER)
            return
        responder.start(200, (("content-type", "text/event-stream"),))
        for _ in range(CHUNKS):
            responder.write(_chunk("word "))
            await asyncio.sleep(0.001)
        responder.write(_chunk(None) + b"data: [DONE]\n\n")
        responder.end()

    async def main() -> None:
        server = await wire.serve(app)
        announce.send(server.port)
        await asyncio.Event().wait()

    wire.run(main())


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def _round(call: Callable[[], Awaitable[Any]], calls: int, concurrency: int) -> float:
    """CPU milliseconds a call."""
    left = iter(range(calls))

    async def work() -> None:
        for _ in left:
            await call()

    before = _cpu()
    await asyncio.gather(*(work() for _ in range(concurrency)))
    return (_cpu() - before) / calls * 1000


def _sdk(url: str, stream: bool) -> Callable[[], Awaitable[Any]] | None:
    try:
        from openai import AsyncOpenAI
    except ImportError:
        return None
    client = AsyncOpenAI(base_url=url, api_key="none", max_retries=0)
    messages: Any = [{"role": message.role, "content": message.content} for message in MESSAGES]

    async def call() -> None:
        got = await client.chat.completions.create(model="m", messages=messages, temperature=0, stream=stream)
        if stream:
            async for _ in got:
                pass

    return call


async def _measure(port: int, calls: int, concurrency: int, rounds: int) -> None:
    url = f"http://127.0.0.1:{port}/v1"
    async with wire.Client() as client:
        model = open_endpoint(ModelSpec("openai-compatible", "m", url), client)
        body = json.dumps(
            {"model": "m", "messages": [{"role": m.role, "content": m.content} for m in MESSAGES]}
        ).encode()
        whole = Request(messages=MESSAGES, parameters={"temperature": 0, "max_tokens": 64})
        streamed = Request(messages=MESSAGES, parameters={"temperature": 0, "max_tokens": 64}, stream=True)
        ways: dict[str, Callable[[], Awaitable[Any]]] = {
            "whole: wire alone": lambda: client.send("POST", f"{url}/chat/completions", body=body),
            "whole: provider": lambda: model.generate(whole),
            "streamed: provider": lambda: model.generate(streamed),
        }
        for name, stream in (("whole: openai SDK", False), ("streamed: openai SDK", True)):
            call = _sdk(url, stream)
            if call is not None:
                ways[name] = call
        figures: dict[str, list[float]] = {name: [] for name in ways}
        for turn in range(rounds + 1):
            for name, call in ways.items():
                many = calls // 10 if "SDK" in name or "streamed" in name else calls
                used = await _round(call, many, concurrency)
                if turn:  # The first turn warms everything up.
                    figures[name].append(used)
    medians = {name: statistics.median(values) for name, values in figures.items()}
    for name, median in medians.items():
        print(f"{name:24} {median:7.3f} ms CPU a call   {min(figures[name]):7.3f} to {max(figures[name]):7.3f}")
    print(f"{'against the limit':24} {medians['whole: provider'] / LIMIT_MS:7.2f} x {LIMIT_MS} ms")
    print(f"{'against the wire alone':24} {medians['whole: provider'] / medians['whole: wire alone']:7.2f} x")
    print(f"{'per 1,000 chunks':24} {medians['streamed: provider'] / CHUNKS * 1000:7.2f} ms CPU")
    for kind in ("whole", "streamed"):
        if f"{kind}: openai SDK" in medians:
            ratio = medians[f"{kind}: openai SDK"] / medians[f"{kind}: provider"]
            print(f"{f'{kind}: SDK takes':24} {ratio:7.1f} x the provider's CPU")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    server = context.Process(target=_serve, args=(theirs,), daemon=True)
    server.start()
    try:
        wire.run(_measure(ours.recv(), chosen.calls, chosen.concurrency, chosen.rounds))
    finally:
        server.terminate()
        server.join()


if __name__ == "__main__":
    main()
