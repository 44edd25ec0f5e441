"""CPU that the wire's server spends per request and per 1,000 streamed chunks, against limits, a floor and peers.

python -m benchmarks.wire.server
"""

from __future__ import annotations

import asyncio

from benchmarks.wire.bare import BareServer
from benchmarks.wire.client import CHUNKS_LIMIT_MS, REQUEST_LIMIT_MS, ROUNDS, STREAMS, WORKERS, Send, show, through_bare
from benchmarks.wire.servers import Measured

from proveout import wire

REQUESTS = 4000


async def spent(server: Measured, send: Send, path: str, count: int, workers: int) -> float:
    """CPU milliseconds of the server per request."""
    numbers = iter(range(count))

    async def worker() -> None:
        for _ in numbers:
            await send(path)

    await asyncio.gather(*(send("/") for _ in range(workers)))
    started = server.cpu_s()
    await asyncio.gather(*(worker() for _ in range(workers)))
    return (server.cpu_s() - started) * 1000 / count


async def main() -> None:
    servers = {kind: Measured(kind) for kind in ("wire", "bare", "http.server")}
    sends = {kind: through_bare(server.port) for kind, server in servers.items()}
    small: dict[str, list[float]] = {kind: [] for kind in servers}
    chunks: dict[str, list[float]] = {kind: [] for kind in servers if kind != "http.server"}
    for _ in range(ROUNDS):
        for kind, server in servers.items():
            count = REQUESTS if kind != "http.server" else 800
            small[kind].append(await spent(server, sends[kind][0], "/", count, WORKERS))
            if kind in chunks:
                cost = await spent(server, sends[kind][1], "/stream", STREAMS, STREAMS)
                chunks[kind].append(cost * 1000 / BareServer.events)
    for server in servers.values():
        server.stop()
    show("CPU ms per small request", small, REQUEST_LIMIT_MS)
    show("CPU ms per 1,000 streamed events", chunks, CHUNKS_LIMIT_MS)


if __name__ == "__main__":
    wire.run(main())
