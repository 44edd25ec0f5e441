"""Whole rollouts through the code that decides: traffic that drifts, that clusters, whose feedback is late, that five
signals watch at once; and bandits of equal arms. Prints each figure beside its limit.

    python -m benchmarks.delivery.scenarios [RUNS]
"""

from __future__ import annotations

import math
import random
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from proveout.delivery.state import Bandit, Canary, Step
from proveout.testing.rollout_traffic import Answer, World, new_rollout, rates

FOREVER = 10**9
Check = Callable[[list[World]], tuple[str, bool]]


def rolled_back(most: float) -> Check:
    """At most this share is rolled back (two standard errors of so few runs are allowed for)."""

    def check(worlds: list[World]) -> tuple[str, bool]:
        share = sum(world.rollout.status == "rolled_back" for world in worlds) / len(worlds)
        room = 2 * math.sqrt(most * (1 - most) / len(worlds))
        return f"rolled back {share:.1%} (limit {most:.0%})", share <= most + room

    return check


def promoted(most: float) -> Check:
    def check(worlds: list[World]) -> tuple[str, bool]:
        share = sum(world.rollout.status == "promoted" for world in worlds) / len(worlds)
        room = 2 * math.sqrt(most * (1 - most) / len(worlds))
        return f"promoted {share:.1%} (limit {most:.0%})", share <= most + room

    return check


def exposed(most: int | None = None) -> Check:
    """All are rolled back, the median after at most so many answers of the challenger, as far as so few runs can tell:
    the limit is missed where the median's 95 % interval (by order statistics) lies above it.
    """

    def check(worlds: list[World]) -> tuple[str, bool]:
        found = sorted(world.exposed for world in worlds if world.rollout.status == "rolled_back")
        share = len(found) / len(worlds)
        if not found:
            return "rolled back none", False
        around = 0.98 * math.sqrt(len(found))
        low = found[max(0, math.floor(len(found) / 2 - around))]
        high = found[min(len(found) - 1, math.ceil(len(found) / 2 + around))]
        limit = "" if most is None else f", limit {most:,}"
        worst = found[int(len(found) * 0.9)]
        good = share >= 0.9 and (most is None or low <= most)
        middle = statistics.median(found)
        return f"rolled back {share:.0%}, median {middle:.0f} ({low} to {high}{limit}), p90 {worst}", good

    return check


def paused(worlds: list[World]) -> tuple[str, bool]:
    share = sum(world.rollout.status == "paused" for world in worlds) / len(worlds)
    middle = statistics.median(world.number for world in worlds)
    return f"stopped {share:.0%}, median after {middle:.0f} requests", share >= 0.9


def drifting(worse: float) -> Answer:
    """The base error goes from 5 % to 15 % while the challenger's share grows."""

    def answer(number: int, challenger: bool, random_: random.Random) -> dict[str, Any]:
        base = 0.05 + 0.10 * min(number / 8_000, 1.0)
        return {"ok": random_.random() >= base + (worse if challenger else 0.0)}

    return answer


def five(worse: float) -> Answer:
    """Errors, invalid answers, refusals, and two scores: all at 10 %, one of them worse."""

    def answer(number: int, challenger: bool, random_: random.Random) -> dict[str, Any]:
        bad = random_.random() < 0.10 + (worse if challenger else 0.0)
        failed = random_.random() < 0.02
        return {
            "ok": not bad,
            "status": 500 if failed else 200,
            "error": "status" if failed else None,
            "valid": random_.random() >= 0.1,
            "refused": random_.random() < 0.1,
        }

    return answer


def clustered(likeness: float, worse: float) -> Answer:
    """Five requests of each user in a row, which share their fate with this probability."""
    fates: dict[tuple[int, bool], bool] = {}

    def answer(number: int, challenger: bool, random_: random.Random) -> dict[str, Any]:
        rate = 0.10 + (worse if challenger else 0.0)
        if number == 1:
            fates.clear()
        fate = fates.setdefault((number // 5, challenger), random_.random() < rate)
        return {"ok": not (fate if random_.random() < likeness else random_.random() < rate)}

    return answer


def by_session(number: int, random_: random.Random) -> str:
    return f"u{number // 5}"


RAMP = (
    Canary(weight=0.01, requests=20),
    Canary(weight=0.05, requests=100),
    Canary(weight=0.25, requests=500),
    Canary(weight=0.5, requests=FOREVER),
)
LONG = (Canary(weight=0.1, requests=FOREVER),)
BANDIT = (Bandit(floor=0.05, requests=FOREVER),)
IDENTIFY = (Bandit(floor=0.05, requests=FOREVER, mode="identify"),)

SCENARIOS: tuple[tuple[str, tuple[Step, ...], Answer, int, dict[str, Any], Check], ...] = (
    ("ramp with drift, equal", RAMP, drifting(0.0), 10_000, {}, rolled_back(0.05)),
    ("ramp with drift, 5 points worse", RAMP, drifting(0.05), 10_000, {}, exposed()),
    ("sessions of five, alike, equal", LONG, clustered(0.8, 0.0), 10_000, {"unit_of": by_session}, rolled_back(0.05)),
    ("sessions of five, alike, 10 points", LONG, clustered(0.8, 0.1), 20_000, {"unit_of": by_session}, exposed()),
    ("sessions of five, free, 10 points", LONG, clustered(0.0, 0.1), 20_000, {"unit_of": by_session}, exposed()),
    ("feedback 500 requests late, equal", RAMP, rates(0.1, 0.1), 8_000, {"delay": 500}, rolled_back(0.05)),
    ("feedback 500 late, 5 points", RAMP, rates(0.1, 0.15), 10_000, {"delay": 500}, exposed()),
    ("five signals, equal", LONG, five(0.0), 10_000, {}, rolled_back(0.05)),
    ("five signals, 5 points worse", LONG, five(0.05), 16_000, {}, exposed(400)),
    ("split 10 % served as 5 %", LONG, rates(0.1, 0.1), 4_000, {"share_served": 0.05}, paused),
    ("split as intended", LONG, rates(0.1, 0.1), 8_000, {}, lambda worlds: _never_paused(worlds)),
    ("bandit, equal arms", BANDIT, rates(0.15, 0.15), 8_000, {}, rolled_back(0.05)),
    ("bandit, shared drift", BANDIT, drifting(0.0), 8_000, {}, rolled_back(0.05)),
    ("bandit, 5 points worse", BANDIT, rates(0.15, 0.20), 16_000, {}, exposed()),
    ("identify, equal arms", IDENTIFY, rates(0.15, 0.15), 6_000, {}, rolled_back(0.05)),
)


def _never_paused(worlds: list[World]) -> tuple[str, bool]:
    share = sum(world.rollout.status == "paused" for world in worlds) / len(worlds)
    return f"stopped {share:.1%} (limit 1 %)", share <= 0.01


def main(runs: int) -> int:
    began, missed = time.monotonic(), 0
    print(f"{runs} rollouts each, decided after every 50 requests by the code that decides in production")
    for name, steps, answer, requests, options, check in SCENARIOS:
        worlds: list[World] = []
        for seed in range(runs):
            world = World(new_rollout(*steps), answer, seed=seed, every=50, **options)
            world.run(requests)
            worlds.append(world)
        text, good = check(worlds)
        missed += not good
        print(f"{name:<36}{text:<66}{'kept' if good else 'MISSED'}", flush=True)
    print(f"\n{time.monotonic() - began:.0f} s")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 40))
