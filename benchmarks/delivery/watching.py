"""The watch over champions: how rarely it alarms where nothing changed, and how soon after a drop.

python -m benchmarks.delivery.watching [RUNS]
"""

from __future__ import annotations

import random
import statistics
import sys
import time

from proveout.delivery.degradation import ChampionWatch
from proveout.storage.records import Feedback, Trace
from proveout.testing.rollout_traffic import WATCH

CALM = 20_000
AFTER = 6_000


def one(seed: int, rate: float, drop: float, drift: float) -> tuple[bool, int | None]:
    """Whether it alarmed while all was well, and how many requests after the drop it did."""
    random_ = random.Random(seed)
    watch = ChampionWatch("c", WATCH)
    for number in range(CALM + (AFTER if drop else 0)):
        after = number >= CALM
        bad = random_.random() < rate + drift * random_.random() + (drop if after else 0.0)
        trace = Trace(
            id=str(number),
            service="s",
            environment="e",
            chosen="c",
            variant="c",
            status=200,
            e2e=random_.lognormvariate(-1, 0.6),
            output_tokens=3,
        )
        watch.observe(trace)
        watch.observe_feedback(
            Feedback(id=str(number), trace=str(number), name="ok", value=not bad, score=float(not bad))
        )
        if number % 20 == 0 and watch.alarm is not None:
            return (not after, number - CALM if after else None)
    return False, None


def main(runs: int) -> int:
    began, missed = time.monotonic(), 0
    print(f"{runs} champions each, {CALM:,} calm requests, then a drop; 10 % of answers are bad before it")
    calm = [one(seed, 0.1, 0.0, 0.0)[0] for seed in range(runs)]
    missed += sum(calm) > runs * 0.05
    print(f"{'nothing changes':<28}false alarms {sum(calm) / runs:.1%} (limit 5 %)")
    for drop in (0.10, 0.20, 0.40):
        found = [one(1_000 + seed, 0.1, drop, 0.0) for seed in range(runs)]
        delays = [delay for _, delay in found if delay is not None]
        middle = statistics.median(delays) if delays else float("inf")
        print(
            f"{f'{drop * 100:.0f} points worse':<28}found {len(delays) / runs:.0%}, median after {middle:,.0f} requests"
        )
        missed += len(delays) < 0.9 * runs
    print(f"\n{time.monotonic() - began:.0f} s")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 20))
