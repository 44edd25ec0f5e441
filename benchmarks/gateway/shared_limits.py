"""What limits cost that gateways share through Redis, beside limits that each process keeps for itself, in one run.

    python -m benchmarks.gateway.shared_limits [--requests 20000]

CPU is this process's; Redis has its own. At concurrency 64, requests that come together share a round trip.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time

import uvloop

from proveout.gateway.metrics import Metrics
from proveout.gateway.quotas import Meter
from proveout.gateway.settings import Quota, RedisSettings
from proveout.gateway.sharing import Sharing
from proveout.testing.servers import ServerUnavailable, redis_server


async def measured(url: str, concurrency: int, requests: int) -> tuple[float, float]:
    """Microseconds of CPU for a request of a key and a service that both have limits, and median milliseconds."""
    sharing = Sharing(Metrics())
    sharing.use(RedisSettings(url, patience_s=10), "benchmark")
    await sharing.settled()
    assert sharing.on
    key, service = Meter(Quota(1e9, 1e6), "key k"), Meter(Quota(1e9, 1e6), "service s")
    sharing.watch(key)
    took: list[float] = []

    async def client() -> None:
        for _ in range(requests // concurrency):
            began = time.perf_counter()
            await sharing.admit(key, service)
            took.append(time.perf_counter() - began)
            key.charge(1e-6)

    before = time.process_time()
    await asyncio.gather(*(client() for _ in range(concurrency)))
    spent = time.process_time() - before
    await sharing.aclose()
    return spent / requests * 1e6, statistics.median(took) * 1e3


def alone(requests: int) -> float:
    key, service = Meter(Quota(1e9, 1e6), "key k"), Meter(Quota(1e9, 1e6), "service s")
    before = time.process_time()
    for _ in range(requests):
        key.admit()
        service.admit()
        key.charge(1e-6)
    return (time.process_time() - before) / requests * 1e6


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=20_000)
    options = parser.parse_args()
    try:
        with redis_server() as server:
            print(f"limits of one process      {alone(options.requests):8.1f} us CPU a request")
            for concurrency in (1, 16, 64):
                cpu, p50 = uvloop.run(measured(server.url, concurrency, options.requests))
                print(f"shared, concurrency {concurrency:<3}    {cpu:8.1f} us CPU a request, p50 {p50:.2f} ms")
    except ServerUnavailable as reason:
        print(reason)


if __name__ == "__main__":
    main()
