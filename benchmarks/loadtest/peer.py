"""A usual asynchronous client (aiohttp, one `json.loads` a chunk) put to the same test as the recorder, in turns.

python -m benchmarks.loadtest.peer [--streams N] [--rounds N]      (needs aiohttp)

Both run closed loops against the same simulated server, whose log is the truth; the ratios are of one run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from statistics import median

import aiohttp
import numpy as np

from proveout.loadtest import calibrate
from proveout.testing.simulated_server import simulated_server


async def aiohttp_at(streams: int, rounds: int = 12) -> dict[str, float]:
    """Errors of TTFT against the server's log in milliseconds, and CPU per 1,000 chunks."""
    with simulated_server() as server:
        seen: dict[str, float] = {}
        chunks = 0

        async def ask(session: aiohttp.ClientSession, number: int) -> None:
            nonlocal chunks
            prompt = f"{number} " + "word " * 99
            body = {"messages": [{"role": "user", "content": prompt}], "max_tokens": 64, "ignore_eos": True}
            body |= {"stream": True, "user": str(number)}
            sent, first = time.monotonic(), 0.0
            async with session.post(f"{server.url}/chat/completions", json=body) as response:
                async for line in response.content:
                    if line.startswith(b"data: {") and json.loads(line[6:])["choices"][0]["delta"].get("content"):
                        first = first or time.monotonic()
                        chunks += 1
            seen[str(number)] = first - sent

        numbers = iter(range(streams * rounds))

        async def chain(session: aiohttp.ClientSession) -> None:
            for number in numbers:
                await ask(session, number)

        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session:
            began = time.process_time()
            await asyncio.gather(*(chain(session) for _ in range(streams)))
            cpu = time.process_time() - began
        truth = {one.user: one.ttft for one in server.truth()}
    mine, true = (np.array([side[name] for name in seen]) for side in (seen, truth))
    error = [(np.quantile(mine, q) - np.quantile(true, q)) * 1000 for q in (0.5, 0.99)]
    return {"ttft_error_p50_ms": error[0], "ttft_error_p99_ms": error[1], "cpu_ms_per_1000_chunks": cpu * 1e6 / chunks}


def main() -> None:
    import uvloop

    parser = argparse.ArgumentParser()
    parser.add_argument("--streams", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    names = ("ttft_error_p50_ms", "ttft_error_p99_ms", "cpu_ms_per_1000_chunks")
    found: dict[str, list[dict[str, float]]] = {"Proveout": [], "aiohttp": []}
    for _ in range(arguments.rounds):
        ours, _ = uvloop.run(calibrate(concurrency=arguments.streams, requests=arguments.streams * 12))
        found["Proveout"].append({name: getattr(ours, name) for name in names})
        found["aiohttp"].append(uvloop.run(aiohttp_at(arguments.streams)))
    print(f"{arguments.streams} streams, {os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}")
    for name in names:
        mine, theirs = (median(abs(one[name]) for one in rounds) for rounds in found.values())
        print(f"{name:24} Proveout {mine:8.2f}   aiohttp {theirs:8.2f}   {theirs / max(mine, 1e-9):6.1f} times as much")


if __name__ == "__main__":
    main()
