"""Which gates there are, by objective."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from importlib import import_module

from proveout.gates._base import Gate
from proveout.project import OBJECTIVES, Objective

_HOMES: Mapping[Objective, str] = {
    "accuracy": "AccuracyGate",
    "stability": "StabilityGate",
    "latency": "LatencyGate",
    "cost": "CostGate",
}


def _opener(objective: Objective, name: str) -> Callable[[], Gate]:
    def gate() -> Gate:
        return getattr(import_module(f"proveout.gates.{objective}"), name)()

    return gate


GATES: Mapping[Objective, Callable[[], Gate]] = {
    objective: _opener(objective, name) for objective, name in _HOMES.items()
}
"""Makes the gate of an objective; its code is loaded when it is wanted."""


class UnknownGate(LookupError):
    """A gate was asked for by a name that is no objective."""


FROM_STAGING: frozenset[Objective] = frozenset({"security"})
"""Objectives that are judged in staging, and not yet in dev."""


def stage_objectives(
    stage: str, declared: Collection[Objective], improves: Collection[Objective] = ()
) -> list[Objective]:
    """The objectives that a stage judges, in a fixed order: those that the service declares or the change claims. Where
    dev has nothing else to judge it judges what is for staging, so that no run goes without a verdict.
    """
    known: list[Objective] = [objective for objective in OBJECTIVES if objective in declared or objective in improves]
    return [objective for objective in known if stage != "dev" or objective not in FROM_STAGING] or known


def wanted_objectives(
    stage: str, declared: Collection[Objective], improves: Collection[Objective], only: Collection[str] | None
) -> list[Objective]:
    """The objectives to judge: all of a stage, or those of `only`.

    Raises:
        UnknownGate: `only` names something that is no objective, or one that the service does not declare or that
            this stage does not judge.
    """
    known = stage_objectives(stage, declared, improves)
    if only is None:
        return known
    for name in only:
        if name in FROM_STAGING and name not in known and (name in declared or name in improves):
            raise UnknownGate(f"{name} is judged in staging; write --stage staging")
        if name not in known:
            raise UnknownGate(f"no objective {name!r} in this service; --gates takes some of: {', '.join(known)}")
    return [objective for objective in known if objective in only]
