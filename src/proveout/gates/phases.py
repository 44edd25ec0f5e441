"""The phases of gates that need calls of their own: after the evaluation, within what the limits leave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from proveout.evaluation import OpenModels, Tally
from proveout.gates._base import Collected, Collecting, Gate, Occasion
from proveout.gates.preparation import Comparison, RunOptions, Work
from proveout.project import Objective, ObjectiveSpec, Variant

Phases = Mapping[Objective, Collected]
"""What gates collected, by objective."""


async def own_phases(
    gates: Sequence[tuple[Gate, ObjectiveSpec]],
    comparison: Comparison,
    options: RunOptions,
    work: Work,
    tally: Tally,
    scorer_cost: float | None,
) -> Phases:
    """Let each gate that needs it make its calls, one gate after the other."""
    own: dict[Objective, Collected] = {}
    variants = (comparison.champion, comparison.challenger)
    for gate, spec in gates:
        if not isinstance(gate, Collecting):
            continue
        made = tally.made + calls_of(own)
        spent = added(tally.known_cost, scorer_cost, cost_of(own))
        occasion = Occasion(
            project=comparison.project,
            service=comparison.service,
            variants=variants,
            examples=lambda: work.data[0].read(work.inputs),
            seed=options.seed,
            calls_left=None if options.max_calls is None else max(0, options.max_calls - made),
            usd_left=None if options.max_cost is None else max(0.0, options.max_cost - (spent or 0.0)),
            usd_per_call=(_usd_per_call(variants[0], tally, 0), _usd_per_call(variants[1], tally, 1)),
        )
        own[spec.objective] = await gate.collect(occasion, spec)
    return own


def calls_of(phases: Phases) -> int:
    return sum(phase.calls for phase in phases.values())


def failed_of(phases: Phases) -> int:
    return sum(phase.failed for phase in phases.values())


def cost_of(phases: Phases) -> float | None:
    """What all phases cost in dollars; None where that is unknown of one."""
    return added(*(phase.cost_usd for phase in phases.values()))


def added(*costs: float | None) -> float | None:
    """The sum, or None where a part is unknown."""
    return None if None in costs else sum(cost or 0.0 for cost in costs)


def _usd_per_call(variant: Variant, tally: Tally, arm: int) -> float | None:
    return 0.0 if OpenModels.is_free(variant.model) else tally.usd_per_call(arm)
