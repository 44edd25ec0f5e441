"""Before a rollout begins: how long its steps take at this traffic, what drop they catch, and who sees it until then.

By simulation of the very rule that will decide (`statistics.betting`), for one score of answers: what users or judges
say. Numbers are medians over the simulated rollouts unless said otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from proveout.delivery.signals import ALPHA, DEFAULT_MARGIN, PURSES, QUALITY_SHARE
from proveout.delivery.state import Approval, Bandit, Canary, Pause, Shadow, Step
from proveout.statistics.betting import STAKES

SECONDS_PER_MONTH = 30.44 * 86_400
DROPS = (0.02, 0.05, 0.10, 0.20)
FIRST_SHARE = QUALITY_SHARE * 0.75
"""What of ALPHA the first score of answers gets."""


class PlannedStep(msgspec.Struct, frozen=True, kw_only=True):
    """What one step needs. `requests` are all of the service's requests while it lasts; None where only people decide.

    `days` is None without declared traffic.
    """

    kind: str
    share: float
    challenger_requests: int | None
    requests: int | None
    days: float | None


class Drop(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of a challenger that is worse by so much: how often it is rolled back, how many of the challenger's
    answers users saw by then (median and 90th percentile), and how many of those were bad because of it.
    """

    drop: float
    rolled_back: float
    exposed: int | None
    exposed_p90: int | None
    harmed: float | None


class DeliveryPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a rollout will take. `promoted` is how often an equal challenger passes within the declared requests,
    `promotion_requests` how many of its own requests it needs to be shown no worse than the margin.
    """

    schema: str = "proveout.rollout-plan/v1"
    service: str
    change: str
    base_rate: float
    scored: float
    margin: float
    steps: tuple[PlannedStep, ...]
    drops: tuple[Drop, ...]
    promoted: float
    promotion_requests: int | None
    false_rollback: float
    runs: int
    seed: int


def plan_delivery(
    steps: Sequence[Step],
    *,
    service: str,
    change: str,
    requests_per_month: float | None,
    margin: float = DEFAULT_MARGIN,
    base_rate: float = 0.1,
    scored: float = 1.0,
    pairs: float = 0.0,
    drops: Sequence[float] = DROPS,
    runs: int = 300,
    seed: int = 0,
) -> DeliveryPlan:
    """Simulate a rollout of challengers that are as good as the champion, and worse by each drop.

    Args:
        steps: the rollout's steps.
        requests_per_month: the service's traffic, if known.
        margin: how much worse a challenger may be to be promoted.
        base_rate: the champion's share of bad answers.
        scored: the share of requests that get a score.
        pairs: the share of a shadow's pairs whose answers are scored.
        runs: simulated rollouts for each drop.
    """
    planned = tuple(_planned(step, before, requests_per_month) for step, before in _with_shares(steps))
    blocks = _blocks(steps, scored, pairs)
    random = np.random.default_rng(seed)
    equal = _simulate(random, blocks, base_rate, 0.0, margin, runs)
    return DeliveryPlan(
        service=service,
        change=change,
        base_rate=base_rate,
        scored=scored,
        margin=margin,
        steps=planned,
        drops=tuple(
            _drop(random, blocks, base_rate, drop, margin, runs, scored) for drop in drops if base_rate + drop <= 1
        ),
        promoted=float(np.mean(~equal.rolled_back & (equal.passed_at >= 0))),
        promotion_requests=_typical(equal.needed, scored),
        false_rollback=float(np.mean(equal.rolled_back)),
        runs=runs,
        seed=seed,
    )


class _Simulated(msgspec.Struct, frozen=True):
    """By simulated rollout: whether it was rolled back, at which score of the challenger, when it was shown no worse,
    and at which exposed score (those in a shadow are seen by nobody).
    """

    rolled_back: npt.NDArray[np.bool_]
    exposed: npt.NDArray[np.int_]
    passed_at: npt.NDArray[np.int_]
    needed: npt.NDArray[np.float64]


class _Block(msgspec.Struct, frozen=True):
    """So many comparisons, each of one answer of the challenger with the mean of so many of the champion."""

    comparisons: int
    champions: int
    seen: bool


def _with_shares(steps: Sequence[Step]) -> list[tuple[Step, float]]:
    """Each step with the challenger's share during it."""
    found: list[tuple[Step, float]] = []
    share = 0.0
    for step in steps:
        if isinstance(step, Canary):
            share = step.weight
        elif isinstance(step, Bandit):
            share = 0.5
        found.append((step, 0.0 if isinstance(step, Shadow) else share))
    return found


def _planned(step: Step, share: float, per_month: float | None) -> PlannedStep:
    kind = str(msgspec.to_builtins(step)["kind"])
    if isinstance(step, Approval | Pause):
        waits = step.duration if isinstance(step, Pause) else None
        days = None if waits is None else waits / 86_400
        return PlannedStep(kind=kind, share=share, challenger_requests=None, requests=None, days=days)
    if isinstance(step, Shadow):
        challenger = total = step.requests
    elif isinstance(step, Canary):
        challenger, total = step.requests, math.ceil(step.requests / step.weight)
    else:
        challenger, total = math.ceil(step.requests * share), step.requests
    days = None if not per_month else max(total / per_month * SECONDS_PER_MONTH, step.duration) / 86_400
    return PlannedStep(kind=kind, share=share, challenger_requests=challenger, requests=total, days=days)


def _blocks(steps: Sequence[Step], scored: float, pairs: float) -> list[_Block]:
    found: list[_Block] = []
    for step, share in _with_shares(steps):
        if isinstance(step, Shadow) and pairs:
            found.append(_Block(max(1, round(step.requests * pairs)), 1, False))
        if isinstance(step, Canary | Bandit):
            requests = step.requests if isinstance(step, Canary) else step.requests * share
            champions = max(1, round((1 - share) / share)) if share < 1 else 1
            found.append(_Block(max(1, round(requests * scored)), champions, True))
    return found


def _simulate(
    random: np.random.Generator, blocks: Sequence[_Block], base: float, drop: float, margin: float, runs: int
) -> _Simulated:
    differences: list[npt.NDArray[np.float64]] = []
    for block in blocks:
        shape = (runs, block.comparisons)
        challenger = random.random(shape) < base + drop
        champion = random.binomial(block.champions, base, shape) / block.champions
        differences.append(challenger - champion)
    bad = np.concatenate(differences, axis=1) if differences else np.zeros((runs, 0))
    worse = _first(bad, 1 / (ALPHA * FIRST_SHARE))
    passed = _first(margin - bad, 1 / ALPHA)
    rolled_back = worse >= 0
    seen = np.cumsum(np.concatenate([np.full(block.comparisons, block.seen) for block in blocks] or [np.zeros(0)]))
    last = int(seen[-1]) if seen.size else 0
    exposed = np.where(worse >= 0, seen[worse] if seen.size else 0, last).astype(np.int_)
    needed = np.where(passed >= 0, passed + 1.0, np.inf)
    return _Simulated(rolled_back, exposed, passed, needed)


def _first(gains: npt.NDArray[np.float64], target: float) -> npt.NDArray[np.int_]:
    """By row: where the wealth first reaches the target; -1 where it never does."""
    logs = np.full(gains.shape, -np.inf)
    for stake, purse in zip(STAKES, PURSES, strict=True):
        logs = np.logaddexp(logs, np.cumsum(np.log1p(stake * gains), axis=1) + math.log(purse))
    hit = logs >= math.log(target)
    if not hit.size:
        return np.full(len(gains), -1)
    return np.where(hit.any(axis=1), hit.argmax(axis=1), -1)


def _drop(
    random: np.random.Generator,
    blocks: Sequence[_Block],
    base: float,
    drop: float,
    margin: float,
    runs: int,
    scored: float,
) -> Drop:
    found = _simulate(random, blocks, base, drop, margin, runs)
    caught = found.exposed[found.rolled_back]
    if not caught.size:
        return Drop(drop=drop, rolled_back=0.0, exposed=None, exposed_p90=None, harmed=None)
    middle, high = (float(np.quantile(caught, q)) / scored for q in (0.5, 0.9))
    return Drop(
        drop=drop,
        rolled_back=float(np.mean(found.rolled_back)),
        exposed=math.ceil(middle),
        exposed_p90=math.ceil(high),
        harmed=middle * drop,
    )


def _typical(needed: npt.NDArray[np.float64], scored: float) -> int | None:
    middle = float(np.median(needed)) if needed.size else math.inf
    return math.ceil(middle / scored) if math.isfinite(middle) else None


def in_words(plan: DeliveryPlan) -> str:
    """A few lines for a terminal."""
    lines = [
        f"{plan.service}: rollout of {plan.change}",
        f"  assumed: {plan.base_rate:.1%} of the champion's answers are bad, {plan.scored:.0%} of requests get a "
        f"score, margin {plan.margin:.1%}",
        f"  {'step':<10}{'share':>7}{'challenger':>12}{'requests':>12}{'days':>8}",
    ]
    lines += [
        f"  {step.kind:<10}{step.share:>7.0%}{_count(step.challenger_requests):>12}{_count(step.requests):>12}"
        f"{'-' if step.days is None else f'{step.days:.2f}':>8}"
        for step in plan.steps
    ]
    lines.append(f"  {'worse by':<10}{'caught':>7}{'exposed':>12}{'p90':>12}{'harmed':>8}")
    lines += [
        f"  {f'{drop.drop * 100:.0f} points':<10}{drop.rolled_back:>7.0%}{_count(drop.exposed):>12}"
        f"{_count(drop.exposed_p90):>12}{'-' if drop.harmed is None else f'{drop.harmed:.0f}':>8}"
        for drop in plan.drops
    ]
    needed = _count(plan.promotion_requests)
    lines.append(
        f"  an equal challenger: shown no worse within these steps in {plan.promoted:.0%} of {plan.runs} simulated "
        f"rollouts (median {needed} requests of its own), rolled back wrongly in {plan.false_rollback:.1%}"
    )
    if plan.promoted < 0.8:
        lines.append(
            "  the last step waits until every signal is shown no worse; give it more requests, or a wider margin"
        )
    return "\n".join(lines)


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"
