"""What the load tests' tests share: records made by hand, plans against a simulated server, and runs of them."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from proveout.loadtest.calibration import NumberedPrompts
from proveout.loadtest.plan import Plan
from proveout.loadtest.recorder import Recorded
from proveout.loadtest.records import Records
from proveout.loadtest.workers import run_plan
from proveout.project.records import ModelSpec
from proveout.wire import run


def records_of(
    ttft: Sequence[float],
    *,
    e2e: Sequence[float] | None = None,
    error: Sequence[str] | None = None,
    arm: Sequence[int] | None = None,
    block: Sequence[int] | None = None,
    due: Sequence[float] | None = None,
    tokens: int = 3,
    gap: float = 0.01,
) -> Records:
    """Requests with these times to first token, each with `tokens` pieces `gap` seconds apart."""
    size = len(ttft)
    first = np.asarray(ttft, dtype=float)
    at = np.arange(size, dtype=float) if due is None else np.asarray(due, dtype=float)
    errors = tuple(error or [""] * size)
    stamps = (at + first)[:, None] + gap * np.arange(tokens)
    unknown = np.full(size, np.nan)
    return Records(
        index=np.arange(size),
        arm=np.zeros(size, int) if arm is None else np.asarray(arm),
        block=np.zeros(size, int) if block is None else np.asarray(block),
        counted=np.ones(size, bool),
        due=at,
        ready=at,
        asked=at,
        sent=at,
        done=stamps[:, -1] if e2e is None else at + np.asarray(e2e, dtype=float),
        input_tokens=unknown,
        output_tokens=np.full(size, float(tokens)),
        cached_tokens=unknown,
        reasoning_tokens=unknown,
        wanted_input=unknown,
        wanted_output=unknown,
        finish=("stop",) * size,
        error=errors,
        text=("",) * size,
        starts=np.arange(size + 1) * tokens,
        stamps=stamps.ravel(),
    )


def plan_for(url: str, count: int, **changes: Any) -> Plan:
    """Numbered prompts to one server; closed with 4 at once unless said otherwise."""
    plan = Plan(
        (ModelSpec("openai-compatible", "sim", url),),
        NumberedPrompts(output_tokens=changes.pop("output_tokens", 8)),
        np.zeros(count, dtype=np.int64),
        np.arange(count),
        concurrency=None if "due" in changes else 4,
        warmup=2,
        timeout_s=10.0,
    )
    return replace(plan, **changes)


def recorded(plan: Plan, **options: Any) -> Recorded:
    return run(_within(60, plan, options))


async def _within(seconds: float, plan: Plan, options: dict[str, Any]) -> Recorded:
    async with asyncio.timeout(seconds):
        return await run_plan(plan, **options)
