"""How hard to press an endpoint: the rate that the service expects, or one that an unknown endpoint bears."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from proveout.economics.machines import SECONDS_PER_MONTH
from proveout.loadtest.plan import Plan, Workload
from proveout.loadtest.recorder import CannotLoad
from proveout.loadtest.schedules import OpenSchedule
from proveout.loadtest.workers import run_plan
from proveout.project.records import ModelSpec

SURGE = 1.5
"""How many times the expected rate a comparison is made at as well."""
LONGEST_S = 120.0
"""Seconds that a comparison should not take much longer than."""
LOCAL_AT_ONCE, HOSTED_AT_ONCE = 1.0, 4.0
"""Requests at once that an endpoint surely bears: one on this machine, and one that somebody hosts."""
PACE_REQUESTS = 6
BUSY = 0.5
"""Requests under way at once, on average, at the rate that is taken where none is given."""


BELOW_FULL = 0.8
"""Share of the answers per second of a closed loop at which an open one has about as many under way."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds that an answer takes when it is alone, of the slower variant, and a rate that leaves it half idle."""

    answer_s: float
    rate: float

    def in_flight(self, schedule: OpenSchedule) -> float:
        """Requests under way at once, by Little's law."""
        times = schedule.times(requests=200)
        span = float(times[-1]) if len(times) else 0.0
        return self.answer_s * len(times) / span if span > 0 else 1.0


@dataclass(frozen=True, slots=True)
class Load:
    """A rate in requests per second, and in words where it comes from."""

    rate: float
    words: str


def expected_rate(traffic: Mapping[str, Any]) -> Load | None:
    """The rate that a service's declared traffic makes: its mean, times `peak_to_mean` where that is declared. None
    where it declares none."""
    requests = traffic.get("requests_per_month")
    if not requests:
        return None
    mean, peak = float(requests) / SECONDS_PER_MONTH, traffic.get("peak_to_mean")
    if peak is None:
        return Load(mean, "the service's mean traffic")
    return Load(mean * float(peak), f"the service's peak traffic, {float(peak):g} times its mean")


def practical_rate(expected: Load | None, pace: Pace, requests: int, *, local: bool) -> Load:
    """The expected rate where so many requests of each variant can be sent at it in reasonable time; else a higher one.

    Without traffic, or where it is too little to measure at, the rate half fills the slower variant, or does as much
    more as the comparison must be over in time and the endpoint surely bears.
    """
    bearable = (LOCAL_AT_ONCE if local else HOSTED_AT_ONCE) / pace.answer_s
    least = max(pace.rate, min(2 * requests / LONGEST_S, bearable))
    if expected is not None and expected.rate >= least:
        return expected
    busy = f"about {least * pace.answer_s:.2g} at once"
    if expected is None:
        return Load(least, f"{busy}, as the service declares no traffic")
    return Load(least, f"{busy}, more than {expected.words} of {expected.rate:.2g}/s, to be done in time")


async def measured_pace(
    targets: Sequence[ModelSpec], workload: Workload, *, timeout_s: float, at_once: int = 1
) -> tuple[Pace, int]:
    """Ask each target a few times, one request after the other; also gives how many calls that took.

    With `at_once`, so many are kept under way, and the rate is what the slower target answers then, less a fifth.

    Raises:
        CannotLoad: a target answers none.
    """
    slowest, least, calls = 0.0, math.inf, 0
    count = max(PACE_REQUESTS, 3 * at_once if at_once > 1 else 0)
    for arm, target in enumerate(targets):
        plan = Plan(
            tuple(targets),
            workload,
            np.full(count, arm, dtype=np.int64),
            np.arange(-2 * count, -count),
            concurrency=at_once,
            warmup=0,
            timeout_s=timeout_s,
        )
        recorded = await run_plan(plan)
        calls += len(recorded.records)
        took = recorded.records.e2e[recorded.records.ok]
        if not len(took):
            what = recorded.failures[0].message if recorded.failures else "it was stopped"
            raise CannotLoad(f"{target.provider} {target.name} answers nothing: {what}")
        slowest = max(slowest, float(np.median(took)))
        least = min(least, len(took) / recorded.seconds if recorded.seconds > 0 else math.inf)
    rate = BUSY / slowest if slowest > 0 else 1.0
    return Pace(slowest, rate if at_once == 1 else BELOW_FULL * least), calls
