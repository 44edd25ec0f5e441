"""Proveout's own floor: what it would measure of a server whose timings are known, at the planned load.

The reference server is `proveout.testing.simulated_server`, in a process of its own; its log is the truth.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from proveout.loadtest.client_watch import reasons_invalid
from proveout.loadtest.plan import Plan
from proveout.loadtest.recorder import CannotLoad, Recorded
from proveout.loadtest.report import Calibration
from proveout.loadtest.schedules import Open, Trace
from proveout.loadtest.workers import run_plan
from proveout.models import Request
from proveout.project.records import Message, ModelSpec

SECONDS = 8.0
"""How long a calibration at a rate lasts, unless fewer requests are asked for."""
TOKENS = 64
_USUAL_ANSWER_S = TOKENS * 0.008 + 0.06


@dataclass(frozen=True)
class NumberedPrompts:
    """Prompts that the reference server's log can be joined by."""

    output_tokens: int = TOKENS

    def request(self, arm: int, index: int) -> Request:
        parameters = {"max_tokens": self.output_tokens, "ignore_eos": True, "user": str(index)}
        return Request(messages=(Message("user", f"{index} " + "word " * 99),), parameters=parameters, stream=True)

    def wanted(self, index: int) -> tuple[float, float]:
        return math.nan, float(self.output_tokens)

    def describe(self) -> Mapping[str, Any]:
        return {"kind": "reference", "output_tokens": self.output_tokens}


async def calibrate(
    *,
    concurrency: int | None = None,
    schedule: Open | Trace | None = None,
    requests: int | None = None,
    output_tokens: int = TOKENS,
    workers: int = 1,
    seed: int = 0,
    stopping: Callable[[], bool] = lambda: False,
) -> tuple[Calibration, Recorded]:
    """Measure the reference server, and how far that is from the truth.

    Args:
        concurrency: of a closed loop; used where no schedule is given (default 32).
        schedule: of an open one.
        requests: how many; None: as many as take some seconds.
        output_tokens: of each answer.
        workers: client processes.
        seed: of the schedule.
        stopping: asked every 10 ms whether to end now.

    Raises:
        CannotLoad: the reference server does not start, or answers nothing.
    """
    from importlib import import_module

    simulated = import_module("proveout.testing.simulated_server")  # It may import all rooms, so none imports it.
    level = concurrency or 32
    with simulated.simulated_server() as server:
        spec = ModelSpec("openai-compatible", "sim", server.url)
        if schedule is None:
            count = requests or max(2 * level, round(level * SECONDS / _USUAL_ANSWER_S))
            due = None
        else:
            due = schedule.times(requests=requests, duration=None if requests else SECONDS, seed=seed)
            count = len(due)
        plan = Plan(
            (spec,),
            NumberedPrompts(output_tokens),
            np.zeros(count, dtype=np.int64),
            np.arange(count),
            due=due,
            concurrency=level if schedule is None else None,
            warmup=level if schedule is None else 4,
        )
        recorded = await run_plan(plan, workers=workers, stopping=stopping)
        truth = {one.user: one for one in server.truth()}
    return _compared(recorded, truth), recorded


def _compared(recorded: Recorded, truth: Mapping[str, Any]) -> Calibration:
    records = recorded.records.where(recorded.records.ok)
    if not len(records):
        raise CannotLoad("the reference server answered nothing")
    true_ttft = np.array([truth[str(number)].ttft for number in records.index])
    true_gaps = np.concatenate([np.diff(truth[str(number)].written) for number in records.index])
    gaps, _ = records.gaps
    load = recorded.client
    send_lag, loop_lag = (float(np.quantile(lags, 0.99)) for lags in (records.lag, load.loop_lag))
    reasons = reasons_invalid(send_lag, loop_lag, load.cpu_fraction, float(np.median(records.ttft)))
    rate = len(records.stamps) / recorded.seconds
    errors = [_error(records.ttft, true_ttft, q) for q in (0.5, 0.99)]
    floor = f"the client adds {errors[0]:.1f} ms to the median TTFT and {errors[1]:.1f} ms to its p99"
    if reasons:
        words = f"Not usable at {rate:,.0f} chunks/s on this machine now: {'; '.join(reasons)}; {floor}."
    else:
        words = f"Usable at {rate:,.0f} chunks/s: {floor}, at {load.cpu_fraction:.0%} of a core."
    return Calibration(
        ttft_error_p50_ms=round(errors[0], 3),
        ttft_error_p99_ms=round(errors[1], 3),
        gap_error_p99_ms=round(_error(gaps, true_gaps, 0.99), 3),
        send_lag_p99_ms=round(send_lag * 1000, 3),
        loop_lag_p99_ms=round(loop_lag * 1000, 3),
        cpu_fraction=round(load.cpu_fraction, 4),
        cpu_ms_per_1000_chunks=round(load.cpu_s * 1e6 / len(records.stamps), 2),
        chunks_per_s=round(rate, 1),
        usable=not reasons,
        words=words,
    )


def _error(seen: np.ndarray, true: np.ndarray, probability: float) -> float:
    """Difference of a quantile, in milliseconds."""
    if not len(seen) or not len(true):
        return math.nan
    return (float(np.quantile(seen, probability)) - float(np.quantile(true, probability))) * 1000
