"""CPU that the wire's client spends per request and per 1,000 streamed chunks, against limits, a floor and peers.

python -m benchmarks.wire.client
"""

from __future__ import annotations

import asyncio
import gc
import http.client
import importlib
import time
from collections.abc import Awaitable, Callable
from statistics import median
from typing import Any

from benchmarks.wire.bare import BareClient, BareServer
from benchmarks.wire.servers import Measured

from proveout import wire

REQUESTS, WORKERS, STREAMS, ROUNDS = 4000, 16, 64, 5
REQUEST_LIMIT_MS, CHUNKS_LIMIT_MS = 0.15, 20.0
BODY = b'{"model": "m", "messages": [{"role": "user", "content": "%b"}]}' % (b"where is my card? " * 10)
HEADERS = {"content-type": "application/json", "authorization": "Bearer key"}

Send = Callable[[str], Awaitable[int]]
"""Sends one request to a path and returns the number of bytes, or of events, that came."""


async def spent(send: Send, path: str, count: int, workers: int, expected: int) -> float:
    """CPU milliseconds of this process per request."""
    numbers = iter(range(count))

    async def worker() -> None:
        for _ in numbers:
            assert await send(path) == expected

    await asyncio.gather(*(send("/") for _ in range(workers)))  # Open the connections first.
    gc.collect()
    started = time.process_time()
    await asyncio.gather(*(worker() for _ in range(workers)))
    return (time.process_time() - started) * 1000 / count


def through_wire(client: wire.Client, url: str) -> tuple[Send, Send]:
    async def small(path: str) -> int:
        return len((await client.send("POST", url + path, headers=HEADERS, body=BODY)).body)

    async def stream(path: str) -> int:
        decoder, count = wire.SseDecoder(), 0

        def on_data(at: float, piece: bytes) -> None:
            nonlocal count
            count += len(decoder.feed(piece))

        await client.send("POST", url + path, headers=HEADERS, body=BODY, on_data=on_data)
        return count

    return small, stream


def through_bare(port: int) -> tuple[Send, Send]:
    free: list[BareClient] = []

    async def ask(path: str) -> bytes:
        if free:
            client = free.pop()
        else:
            _, client = await asyncio.get_running_loop().create_connection(BareClient, "127.0.0.1", port)
        head = b"POST %b HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % (path.encode(), len(BODY))
        answer = await client.send(head + BODY)
        free.append(client)
        return answer

    async def small(path: str) -> int:
        return len(await ask(path))

    async def stream(path: str) -> int:
        return (await ask(path)).count(b"\n\n")

    return small, stream


def through_httpx(module: Any, url: str) -> tuple[Send, Send]:
    client = module.AsyncClient(timeout=None, trust_env=False, limits=module.Limits(max_connections=None))

    async def small(path: str) -> int:
        return len((await client.post(url + path, content=BODY, headers=HEADERS)).content)

    async def stream(path: str) -> int:
        async with client.stream("POST", url + path, content=BODY, headers=HEADERS) as response:
            return sum([1 async for line in response.aiter_lines() if line])

    return small, stream


def with_http_client(port: int) -> float:
    """The same small requests one after the other on one connection of Python's own client."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    started = time.process_time()
    for _ in range(REQUESTS // 4):
        connection.request("POST", "/", BODY, HEADERS)
        connection.getresponse().read()
    return (time.process_time() - started) * 1000 / (REQUESTS // 4)


def peers(url: str) -> dict[str, tuple[Send, Send]]:
    for name in ("httpx", "httpx2"):
        try:
            return {name: through_httpx(importlib.import_module(name), url)}
        except ImportError:
            continue
    return {}


async def main() -> None:
    server = Measured("bare")
    async with wire.Client(trust_env=False) as client:
        ways = {"wire": through_wire(client, server.url), "bare": through_bare(server.port), **peers(server.url)}
        small: dict[str, list[float]] = {name: [] for name in [*ways, "http.client"]}
        chunks: dict[str, list[float]] = {name: [] for name in ways}
        expected = await ways["bare"][0]("/")
        for _ in range(ROUNDS):
            for name, (send, stream) in ways.items():
                small[name].append(
                    await spent(send, "/", REQUESTS if name in ("wire", "bare") else 400, WORKERS, expected)
                )
                cost = await spent(stream, "/stream", STREAMS, STREAMS, BareServer.events)
                chunks[name].append(cost * 1000 / BareServer.events)
            small["http.client"].append(await asyncio.to_thread(with_http_client, server.port))
    server.stop()
    show("CPU ms per small request", small, REQUEST_LIMIT_MS)
    show("CPU ms per 1,000 streamed events", chunks, CHUNKS_LIMIT_MS)


def show(title: str, figures: dict[str, list[float]], limit: float) -> None:
    """Medians over the rounds, each against the wire's."""
    ours = median(figures["wire"])
    print(f"{title} (median of {ROUNDS} rounds)")
    for name, values in figures.items():
        print(f"  {name:12} {median(values):8.3f}   {median(values) / ours:6.2f} × wire")
    print(f"  limit        {limit:8.3f}   {'met' if ours <= limit else 'MISSED'}: wire takes {ours / limit:.2f} of it")


if __name__ == "__main__":
    wire.run(main())
