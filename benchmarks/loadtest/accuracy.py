"""How exact the load tester is, and what it costs: the simulated server's own log is the truth of the same run.

python -m benchmarks.loadtest.accuracy [--rounds N]

Prints, for closed loops and an open one, the error of TTFT quantiles and of the gaps, CPU per 1,000 chunks, and each as
a ratio to its limit; for closed loops also what a bare protocol that does nothing but stamp has in turns with it
(`benchmarks.loadtest.floor`): that much is the machine's, which all share with the server. Then a plain aiohttp client
in the same place, where aiohttp is installed.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from statistics import median

from benchmarks.loadtest.floor import bare_at

from proveout.loadtest import calibrate, poisson
from proveout.loadtest.report import Calibration

LIMITS = {"ttft_error_p50_ms": 1.0, "ttft_error_p99_ms": 3.0, "cpu_ms_per_1000_chunks": 20.0, "send_lag_p99_ms": 4.0}
CASES = (
    ("closed, 1 at once", {"concurrency": 1, "requests": 12}),
    ("closed, 32 at once", {"concurrency": 32}),
    ("closed, 128 at once", {"concurrency": 128}),
    ("poisson, 25 requests/s", {"schedule": poisson(25)}),
)


def measured(arguments: dict, rounds: int) -> tuple[dict[str, float], dict[str, float]]:
    """The median over some rounds of each figure, of ours and, in turns with it, of the bare protocol."""
    import uvloop

    found: list[Calibration] = []
    floor: list[dict[str, float]] = []
    level = arguments.get("concurrency")
    for _ in range(rounds):
        ours, recorded = uvloop.run(calibrate(**arguments))
        found.append(ours)
        if level is not None:
            floor.append(uvloop.run(bare_at(level, -(-len(recorded.records) // level))))
    names = ("chunks_per_s", "ttft_error_p50_ms", "ttft_error_p99_ms", "gap_error_p99_ms", "cpu_ms_per_1000_chunks")
    return (
        {name: median(getattr(one, name) for one in found) for name in (*names, "send_lag_p99_ms", "loop_lag_p99_ms")},
        {name: median(one[name] for one in floor) for name in (floor[0] if floor else ())},
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="cases whose name holds this")
    arguments = parser.parse_args()
    rounds = arguments.rounds
    print(f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}, median of {rounds} rounds")
    for name, case in CASES:
        if arguments.only not in name:
            continue
        figures, floor = measured(case, rounds)
        print(f"\n{name}: {figures.pop('chunks_per_s'):,.0f} chunks/s")
        for figure, value in figures.items():
            limit = LIMITS.get(figure)
            told = f"  {figure:24}{value:10.2f}"
            if limit:
                told += f"  {value / limit:6.2f} of the limit of {limit:g}"
            if figure in floor:
                told += f"; a bare protocol {floor[figure]:.2f}: {value / floor[figure]:.2f} times as much"
            print(told)
    _peer()


def _peer() -> None:
    """A usual client at 128 streams, in the same run."""
    try:
        from benchmarks.loadtest.peer import aiohttp_at
    except ImportError:
        print("\naiohttp is not installed; no peer was measured")
        return
    figures = asyncio.run(aiohttp_at(128))
    print("\naiohttp and json at 128 streams: " + ", ".join(f"{name} {value:.2f}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
