"""Canary rules under peeking at every request: false promotion, false rollback, and users exposed to a 5-point drop,
beside a Flagger-like rule and a z-test in the same run. Prints the limits of the design.

    python -m benchmarks.delivery.rules [RUNS]
"""

from __future__ import annotations

import math
import sys
import time

import numpy as np
from numpy.typing import NDArray

from proveout.delivery.planning import FIRST_SHARE
from proveout.delivery.signals import ALPHA, PURSES
from proveout.statistics.betting import STAKES

HORIZON = 5_000
CHAMPIONS = 9
"""Requests of the champion for each of the challenger's: a 10 % canary."""

Figures = tuple[float, float, float, float]
Floats = NDArray[np.float64]
Places = NDArray[np.int64]


def first(hit: NDArray[np.bool_]) -> Places:
    """By row, the first place that is true; the horizon where none is."""
    return np.where(hit.any(axis=1), hit.argmax(axis=1), hit.shape[1])


def wealth_passes(gains: Floats, target: float) -> Places:
    """Where the mixture's wealth first reaches a target, looked at after every request."""
    logs = np.full(gains.shape, -np.inf)
    for stake, purse in zip(STAKES, PURSES, strict=True):
        np.logaddexp(logs, np.cumsum(np.log1p(stake * gains), axis=1) + math.log(purse), out=logs)
    return first(logs >= math.log(target))


def betting(challenger: Floats, champion: Floats, margin: float, share: float) -> tuple[Places, Places]:
    difference = challenger - champion / CHAMPIONS
    return wealth_passes(difference, 1 / (ALPHA * share)), wealth_passes(margin - difference, 1 / ALPHA)


def z_test(challenger: Floats, champion: Floats, margin: float) -> tuple[Places, Places]:
    n = np.arange(1, HORIZON + 1)
    worse, base = np.cumsum(challenger, axis=1), np.cumsum(champion, axis=1)
    p, q = (worse + 0.5) / (n + 1), (base + 0.5) / (CHAMPIONS * n + 1)
    spread = np.sqrt(p * (1 - p) / n + q * (1 - q) / (CHAMPIONS * n))
    difference = worse / n - base / (CHAMPIONS * n)
    late = n >= 50
    return first((difference / spread > 1.645) & late), first(((difference - margin) / spread < -1.645) & late)


def flagger(challenger: Floats, rate: float, margin: float) -> tuple[Places, Places]:
    """Checks of 100 requests against a fixed threshold: 5 bad ones roll back, 10 good ones promote."""
    checks = challenger.reshape(len(challenger), -1, 100).mean(axis=2) > rate + margin

    def requests(place: Places) -> Places:
        return np.where(place >= checks.shape[1], HORIZON, (place + 1) * 100 - 1)

    return (
        requests(first(np.cumsum(checks, axis=1) >= 5)),
        requests(first(np.cumsum(~checks, axis=1) >= 10)),
    )


def simulate(rate: float, margin: float, runs: int, seed: int) -> dict[str, dict[float, Figures]]:
    """By rule and true difference: rolled back, promoted, median and 90th percentile of requests until rollback."""
    random = np.random.default_rng(seed)
    found: dict[str, dict[float, Figures]] = {}
    for difference in (0.0, margin, 0.05):
        challenger = (random.random((runs, HORIZON)) < rate + difference).astype(float)
        champion = random.binomial(CHAMPIONS, rate, (runs, HORIZON)).astype(float)
        rules = {
            "ours, the whole error": betting(challenger, champion, margin, 1.0),
            "ours, among all signals": betting(challenger, champion, margin, FIRST_SHARE),
            "Flagger-like": flagger(challenger, rate, margin),
            "z-test, peeked": z_test(challenger, champion, margin),
        }
        for name, (worse, passed) in rules.items():
            back = worse < passed
            exposed = worse[back] + 1
            found.setdefault(name, {})[difference] = (
                float(back.mean()),
                float((passed < worse).mean()),
                float(np.median(exposed)) if exposed.size else math.nan,
                float(np.quantile(exposed, 0.9)) if exposed.size else math.nan,
            )
    return found


def main(runs: int) -> int:
    began, failed = time.monotonic(), 0
    print(f"{runs} rollouts each, a 10 % canary of at most {HORIZON:,} requests, looked at after every request")
    for rate, margin in ((0.10, 0.02), (0.02, 0.01)):
        print(f"\nchampion's error rate {rate:.0%}, margin {margin:.0%}")
        print(f"{'rule':<26}{'false rollback':>16}{'false promotion':>17}{'5 points: back':>16}{'median':>8}{'p90':>7}")
        table = simulate(rate, margin, runs, seed=7)
        for name, by in table.items():
            print(
                f"{name:<26}{by[0.0][0]:>16.1%}{by[margin][1]:>17.1%}{by[0.05][0]:>16.1%}"
                f"{by[0.05][2]:>8.0f}{by[0.05][3]:>7.0f}"
            )
        for name in list(table)[:2]:
            by = table[name]
            good = by[0.0][0] <= 0.05 and by[margin][1] <= 0.05 and (rate < 0.1 or by[0.05][2] <= 400)
            failed += not good
            print(f"{name}: limits 5 % / 5 %" + (" / 400" if rate >= 0.1 else "") + (" kept" if good else " MISSED"))
    print(f"\n{time.monotonic() - began:.0f} s")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000))
