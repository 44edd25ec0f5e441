"""How hard to press an endpoint that nothing is known about yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from proveout.loadtest.plan import Plan, Workload
from proveout.loadtest.recorder import CannotLoad
from proveout.loadtest.schedules import OpenSchedule
from proveout.loadtest.workers import run_plan
from proveout.project.records import ModelSpec

PACE_REQUESTS = 6
BUSY = 0.5
"""Requests under way at once, on average, at the rate that is taken where none is given."""


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


async def measured_pace(targets: Sequence[ModelSpec], workload: Workload, *, timeout_s: float) -> tuple[Pace, int]:
    """Ask each target a few times, one request after the other; also gives how many calls that took.

    Raises:
        CannotLoad: a target answers none.
    """
    slowest, calls = 0.0, 0
    for arm, target in enumerate(targets):
        plan = Plan(
            tuple(targets),
            workload,
            np.full(PACE_REQUESTS, arm, dtype=np.int64),
            np.arange(-2 * PACE_REQUESTS, -PACE_REQUESTS),
            concurrency=1,
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
    return Pace(slowest, BUSY / slowest if slowest > 0 else 1.0), calls
