"""Error rates, coverage and power of the cost gate's tests on simulated skewed costs whose true ratio is known.

    python benchmarks/economics/ratios.py [--runs 2000]

Costs are lognormal with a part shared by both variants. A pass at the margin is a false one: at most 5 % may be.
Beside it, in the same runs: a paired t-test of the logarithms, which is what many people would do, and which tests the
ratio of medians; where a challenger's costs only spread more, it passes what costs more than the margin.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from numpy.typing import NDArray

from proveout.statistics import paired_test, proportion_interval, ratio_of_ratios_test, ratio_test

MARGIN = 0.1
Values = NDArray[np.float64]


def draw(random: np.random.Generator, size: int, ratio: float, shared: float, own: tuple[float, float]) -> list[Values]:
    """Two variants' costs; the true means are 1 and `ratio`."""
    common = random.normal(-(shared**2) / 2, shared, size)
    return [
        level * np.exp(common + random.normal(-(sd**2) / 2, sd, size))
        for level, sd in zip((1, ratio), own, strict=True)
    ]


def rate(hits: int, runs: int) -> str:
    found = proportion_interval(hits, runs)
    return f"{found.value:6.1%} ({found.low:.1%}-{found.high:.1%})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2_000)
    runs = parser.parse_args().runs
    start = time.perf_counter()
    print(
        "| clusters | spread (shared, champion, challenger) | false pass at the margin | coverage of 95 % | "
        "power at -20 % | log t-test, false pass |"
    )
    print("|---|---|---|---|---|---|")
    for size, shared, own in (
        (20, 0.5, (0.3, 0.3)),
        (50, 0.8, (0.4, 0.4)),
        (200, 1.0, (0.5, 0.5)),
        (200, 1.0, (0.3, 0.9)),
        (200, 1.0, (0.9, 0.3)),
        (1000, 1.2, (0.8, 0.8)),
    ):
        random = np.random.default_rng(size)
        passed = covered = shown = naive = 0
        for _ in range(runs):
            champion, challenger = draw(random, size, 1 + MARGIN, shared, own)
            test = ratio_test(champion, challenger, margin=MARGIN)
            passed += test.p_value <= 0.05
            covered += test.difference.low <= MARGIN <= test.difference.high
            shown += ratio_test(*draw(random, size, 0.8, shared, own)).p_value <= 0.05
            gap = np.log(challenger / champion) - np.log(1 + MARGIN)
            naive += paired_test(np.zeros(size), gap, higher_is_better=False).p_value <= 0.05
        cells = (
            f"{size}",
            f"{shared}, {own[0]}, {own[1]}",
            *(rate(hits, runs) for hits in (passed, covered, shown, naive)),
        )
        print("| " + " | ".join(cells) + " |", flush=True)
    print("\n| clusters | cost per success: false pass at the margin | coverage of 95 % |\n|---|---|---|")
    for size in (30, 100, 400):
        random = np.random.default_rng(size)
        passed = covered = 0
        for _ in range(runs):
            champion, challenger = draw(random, size, (1 + MARGIN) * 0.9, 0.8, (0.5, 0.5))
            good = random.random(size) < 0.8, random.random(size) < 0.72
            if not all(part.any() for part in good):
                continue
            test = ratio_of_ratios_test((champion, good[0]), (challenger, good[1]), margin=MARGIN)
            passed += test.p_value <= 0.05
            covered += test.difference.low <= MARGIN <= test.difference.high
        print(f"| {size} | {rate(passed, runs)} | {rate(covered, runs)} |", flush=True)
    print(f"\n{runs:,} simulated experiments a row, {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
