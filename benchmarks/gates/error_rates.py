"""How often whole decisions are wrong, and how often a real improvement passes: clusters, repeats, guard and ledger.

    python -m benchmarks.gates.error_rates [--runs 1000] [--workers 2]

Every answer is simulated and goes through the score table, the gates, the levels and the decision of a real run.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "gates"))

from gate_simulation import World, passes, share_passed

Case = tuple[str, str, Callable[[int, int], float], float, bool]
CLAIM = ("accuracy",)


def best_of_ten(runs: int, seed: int) -> float:
    random = np.random.default_rng(seed)
    world = World(clusters=60)
    false = 0
    for _ in range(runs):
        levels: list[tuple[float, bool]] = []
        false += any(passes(world, random, levels) for _ in range(10))
    return false / runs


def rate(world: World, claims: tuple[str, ...], margin: float, stability: bool, runs: int, seed: int) -> float:
    return share_passed(world, claims=claims, margin=margin, runs=runs, seed=seed, stability=stability)


def cases() -> list[Case]:
    def case(
        what: str, world: World, claims: tuple[str, ...], margin: float, limit: float, least: bool, guard: bool
    ) -> Case:
        return what, ">=" if least else "<=", partial(rate, world, claims, margin, guard), limit, least

    rows = [
        case("no difference, claimed better", World(clusters=k), CLAIM, 0.05, 0.05, False, False) for k in (20, 60, 200)
    ]
    rows += [
        case(
            "no difference, claimed; unequal clusters",
            World(clusters=60, unequal=True),
            CLAIM,
            0.05,
            0.05,
            False,
            False,
        ),
        case("no difference, claimed; 3 repeats and guard", World(60, 2, 3), CLAIM, 0.05, 0.05, False, True),
        case("no difference, claimed; 95 % right", World(clusters=100, base=0.95), CLAIM, 0.05, 0.05, False, False),
        case("worse by the margin of 5 points", World(clusters=150, effect=-0.05), (), 0.05, 0.05, False, False),
        case(
            "worse by the margin; unequal clusters",
            World(150, 2, unequal=True, effect=-0.05),
            (),
            0.05,
            0.05,
            False,
            False,
        ),
        case("worse by the margin; 95 % right", World(150, base=0.95, effect=-0.05), (), 0.05, 0.05, False, False),
        case(
            "worse by the margin of 2 points; 98 % right",
            World(400, 1, base=0.98, effect=-0.02),
            (),
            0.02,
            0.05,
            False,
            False,
        ),
        ("best of ten equal challengers", "<=", best_of_ten, 0.05, False),
        case("12 points better, 200 clusters", World(clusters=200, effect=0.12), CLAIM, 0.05, 0.9, True, False),
        case("equal, holds within 5 points, 400 clusters", World(clusters=400), (), 0.05, 0.8, True, False),
    ]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    table = cases()
    with ProcessPoolExecutor(options.workers) as pool:
        running = [
            pool.submit(measure, options.runs, 100 + number) for number, (_, _, measure, _, _) in enumerate(table)
        ]
        print(f"Share of decisions that are pass, {options.runs:,} simulated runs each:")
        for (what, sign, _, limit, least), future in zip(table, running, strict=True):
            share = future.result()
            error = math.sqrt(max(share * (1 - share), 1e-4) / options.runs)
            ok = share + 2 * error >= limit if least else share - 2 * error <= limit
            print(
                f"  {what:<48} {share:6.1%} +- {2 * error:5.1%}   {sign} {limit:.0%}   {'ok' if ok else 'MISSED'}",
                flush=True,
            )


if __name__ == "__main__":
    main()
