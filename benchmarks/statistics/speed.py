"""How long the statistics take on many rows, beside scipy on the same rows.

python benchmarks/statistics/speed.py [--rows 200000]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
from scipy import stats

from proveout.statistics import (
    krippendorff_alpha,
    mean_interval,
    paired_test,
    pairwise_agreement,
    prediction_powered_test,
)


def seconds(work: Callable[[], object], repeats: int = 3) -> float:
    """The least CPU time of a few runs, the first of which is left out."""
    work()
    found: list[float] = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        found.append(time.process_time() - start)
    return min(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    rows = parser.parse_args().rows
    random = np.random.default_rng(0)
    first, second = random.random((2, rows))
    right, other = (random.random((2, rows)) < [[0.9], [0.91]]).astype(float)
    ties = np.where(random.random(rows) < 0.8, first, second)
    answers = random.integers(0, 5, (rows // 5, 5)).tolist()

    def single() -> object:
        from proveout.statistics import paired_counts

        for cached in (paired_counts._unconditional, paired_counts._mcnemar, paired_counts._win_floor):
            cached.cache_clear()
        return paired_test(right, other, margin=0.02)

    peer = seconds(lambda: stats.ttest_rel(first, second).confidence_interval(0.95))
    bootstrap = seconds(
        lambda: stats.bootstrap((first[:2000] - second[:2000],), np.mean, n_resamples=999, method="percentile"), 1
    )
    print(f"{rows:,} rows; CPU milliseconds, and how many times scipy's paired t ({peer * 1e3:.1f} ms)\n")
    print("| function | ms | ÷ scipy ttest_rel |\n|---|---|---|")
    work: dict[str, Callable[[], object]] = {
        "paired_test, continuous": lambda: paired_test(first, second, margin=0.02),
        "paired_test, most clusters tie": lambda: paired_test(first, ties, margin=0.02),
        "paired_test, single yes/no at a margin (exact)": single,
        "mean_interval": lambda: mean_interval(first),
        "prediction_powered_test, 1 % labelled": lambda: prediction_powered_test(
            first[: rows // 100] - second[: rows // 100],
            first[: rows // 100] - 0.9 * second[: rows // 100],
            first[rows // 100 :] - second[rows // 100 :],
        ),
        "pairwise_agreement over all items of 5 repeats": lambda: [pairwise_agreement(row) for row in answers],
        "krippendorff_alpha over all items of 5 repeats": lambda: krippendorff_alpha(answers),
    }
    for name, each in work.items():
        took = seconds(each)
        print(f"| {name} | {took * 1e3:.1f} | {took / peer:.1f} |")
    print(f"| for scale: scipy's bootstrap of 2,000 differences, 999 resamples | {bootstrap * 1e3:.1f} | |")


if __name__ == "__main__":
    main()
