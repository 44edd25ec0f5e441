"""How often whole decisions are wrong, and how often a real improvement passes: clusters, repeats, guard and ledger.

    python -m benchmarks.gates.error_rates [--runs 1000] [--workers 2] [--write docs/statistics.md]

Every answer is simulated and goes through the score table, the gates, the levels and the decision of a real run. Prints
a Markdown table; `--write` puts it into a page, between its `<!-- decisions -->` marks.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "gates"))
sys.path.insert(0, str(Path(__file__).parents[1] / "statistics"))

from gate_simulation import World, passes, share_passed
from simulate import rate as with_interval
from simulate import table, write_into

from proveout.statistics import proportion_interval

Case = tuple[str, Callable[[int, int], float], float, bool]
"""What is true, the share that passes (of runs, by seed), its limit, and whether it must reach it or stay below."""

CLAIM = ("accuracy",)


def best_of_ten(runs: int, seed: int) -> float:
    random = np.random.default_rng(seed)
    world = World(clusters=60)
    false = 0
    for _ in range(runs):
        levels: list[tuple[float, bool]] = []
        false += any(passes(world, random, levels) for _ in range(10))
    return false / runs


def passing(world: World, claims: tuple[str, ...], margin: float, guard: bool, runs: int, seed: int) -> float:
    return share_passed(world, claims=claims, margin=margin, runs=runs, seed=seed, stability=guard)


def claimed(what: str, world: World, *, guard: bool = False, power: float | None = None) -> Case:
    measure = partial(passing, world, CLAIM, 0.05, guard)
    return f"{what}, claimed better", measure, 0.05 if power is None else power, power is not None


def held(what: str, world: World, margin: float = 0.05, *, guard: bool = False, power: float | None = None) -> Case:
    measure = partial(passing, world, (), margin, guard)
    return f"{what}, to hold within {margin:.0%}", measure, 0.05 if power is None else power, power is not None


def cases() -> list[Case]:
    return [
        *(claimed(f"no difference, {k} clusters of 2", World(clusters=k)) for k in (20, 60, 200)),
        claimed("no difference, 60 unequal clusters", World(clusters=60, unequal=True)),
        claimed("no difference, 60 clusters, 3 repeats, stability guard", World(60, 2, 3), guard=True),
        claimed("no difference, 100 clusters, 95 % right", World(clusters=100, base=0.95)),
        held("5 points worse, 150 clusters", World(clusters=150, effect=-0.05)),
        held("5 points worse, 150 unequal clusters", World(150, 2, unequal=True, effect=-0.05)),
        held("5 points worse, 150 clusters, 95 % right", World(150, base=0.95, effect=-0.05)),
        held("5 points worse, 60 clusters, 3 repeats, stability guard", World(60, 2, 3, effect=-0.05), guard=True),
        held("2 points worse, 400 single examples, 98 % right", World(400, 1, base=0.98, effect=-0.02), 0.02),
        ("best of ten equal challengers on one ledger, claimed better", best_of_ten, 0.05, False),
        claimed("12 points better, 200 clusters", World(clusters=200, effect=0.12), power=0.9),
        held("no difference, 700 clusters", World(clusters=700), power=0.8),
        held("no difference, 400 clusters, 3 repeats, stability guard", World(400, 2, 3), 0.1, guard=True, power=0.8),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--write", type=Path, help="a page to put the table into")
    options = parser.parse_args()
    found = cases()
    rows: list[list[str]] = []
    with ProcessPoolExecutor(options.workers) as pool:
        running = [pool.submit(case[1], options.runs, 100 + number) for number, case in enumerate(found)]
        for (what, _, limit, least), future in zip(found, running, strict=True):
            hits = round(future.result() * options.runs)
            seen = proportion_interval(hits, options.runs)
            kept = seen.high >= limit if least else seen.low <= limit
            rows.append([what, f"{'≥' if least else '≤'} {limit:.0%}", with_interval(hits, options.runs)])
            print(f"{what}: {rows[-1][2]} % ({rows[-1][1]}) {'ok' if kept else 'MISSED'}", flush=True)
    text = table(["the truth, and what the change said", "may pass", f"passed of {options.runs:,} %"], rows)
    print(f"\n{text}")
    if options.write:
        write_into(options.write, "decisions", text)


if __name__ == "__main__":
    main()
