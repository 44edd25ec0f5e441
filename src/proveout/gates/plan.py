"""What a run is about to do: calls, cost, time, and the smallest difference that its data can show."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from proveout.gates._base import CONFIDENCE_ALPHA, DEFAULT_POWER
from proveout.gates.scorecard import Claim, Scorecard
from proveout.project.records import Objective
from proveout.statistics import minimal_detectable_difference

ASSUMED_SD = 0.45
"""Standard deviation of a paired difference where nothing is known yet: a yes-or-no score that differs on a fifth of
the examples."""

SHARES = frozenset({"accuracy", "stability"})
"""Objectives whose scores usually lie within 0 and 1."""


@dataclass(frozen=True, slots=True)
class Detectable:
    """The smallest true difference that one gate would show with 80 % probability, and how many clusters that rests on.

    `known` is False when the spread of the differences had to be assumed because this service has no earlier run.
    """

    objective: Objective
    metric: str
    claim: Claim
    margin: float
    smallest: float
    clusters: int
    known: bool


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What a run will do before it does it. `cost_usd` and `seconds` are None where nothing is known to estimate them
    from."""

    calls: int
    cached: int
    cost_usd: float | None
    seconds: float | None
    examples: int
    clusters: int
    repeats: str
    detectable: tuple[Detectable, ...]
    notes: tuple[str, ...] = ()


def detectable(
    objective: Objective,
    metric: str,
    claim: Claim,
    margin: float,
    clusters: int,
    alpha: float,
    earlier: Scorecard | None,
) -> Detectable:
    """What `clusters` clusters can show for one gate, from the spread seen in an earlier run of this service, else an
    assumed one."""
    sd = spread(earlier, objective, metric)
    level = alpha if claim == "improves" else CONFIDENCE_ALPHA
    reach = 1.0 if objective in SHARES and _within_one(earlier, metric) else 0.0
    smallest = (
        minimal_detectable_difference(
            ASSUMED_SD if sd is None else sd,
            clusters,
            alpha=level,
            power=DEFAULT_POWER,
            reach=reach,
            jump=1.0 if sd is None or _exact(earlier, objective, metric) else 0.0,
            holds=claim == "holds",
        )
        if clusters > 1
        else math.nan
    )
    return Detectable(objective, metric, claim, margin, smallest, clusters, sd is not None)


def _within_one(earlier: Scorecard | None, metric: str) -> bool:
    """Whether scores lie within 0 and 1, as far as an earlier run knows; they do where there was none."""
    seen = [gate.champion.value for gate in earlier.gates if gate.metric == metric] if earlier else []
    return all(value is None or 0 <= value <= 1 for value in seen)


def _exact(earlier: Scorecard | None, objective: Objective, metric: str) -> bool:
    """Whether an earlier run compared single yes-or-no scores."""
    gates = earlier.gates if earlier else ()
    return any(
        (gate.objective, gate.metric) == (objective, metric) and gate.method.startswith("exact") for gate in gates
    )


def spread(earlier: Scorecard | None, objective: Objective, metric: str) -> float | None:
    """The standard deviation of paired cluster differences in an earlier scorecard, from its 95 % interval; None if it
    says nothing."""
    if earlier is None:
        return None
    for gate in earlier.gates:
        low, high = gate.difference.low, gate.difference.high
        if (gate.objective, gate.metric) == (objective, metric) and low is not None and high is not None and high > low:
            return (high - low) / (2 * 1.96) * math.sqrt(gate.champion.n)
    return None


def estimated_cost(per_call: Sequence[float | None], unfinished: Sequence[float], calls_per_arm: int) -> float | None:
    """Dollars for the unfinished share of all arms' calls, or None when the price of any that is left is unknown."""
    total = 0.0
    for cost, share in zip(per_call, unfinished, strict=True):
        if share > 0:
            if cost is None:
                return None
            total += cost * share * calls_per_arm
    return total
