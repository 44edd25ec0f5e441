"""Delivery: from a passed change to a new champion through git, approval and a rollout, and back again when it
degrades.

Decisions are pure (`decide`); the desk writes them down; the controller does both over and over.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from proveout.delivery.controller import Controller
    from proveout.delivery.decide import decide
    from proveout.delivery.desk import Desk, Proposal, proposal
    from proveout.delivery.evidence import Evidence, Gathering
    from proveout.delivery.forges import ForgeError, forge_of
    from proveout.delivery.git import GitError, Repository
    from proveout.delivery.planning import DeliveryPlan, plan_delivery
    from proveout.delivery.process import Options, run_controller
    from proveout.delivery.state import Refused, Rollout
    from proveout.delivery.status import RolloutStatus, status_of

_HOMES = {
    "Controller": "controller",
    "DeliveryPlan": "planning",
    "Desk": "desk",
    "Evidence": "evidence",
    "ForgeError": "forges",
    "Gathering": "evidence",
    "GitError": "git",
    "Options": "process",
    "Proposal": "desk",
    "Refused": "state",
    "Repository": "git",
    "Rollout": "state",
    "RolloutStatus": "status",
    "decide": "decide",
    "forge_of": "forges",
    "plan_delivery": "planning",
    "proposal": "desk",
    "run_controller": "process",
    "status_of": "status",
}

__all__ = [
    "Controller",
    "DeliveryPlan",
    "Desk",
    "Evidence",
    "ForgeError",
    "Gathering",
    "GitError",
    "Options",
    "Proposal",
    "Refused",
    "Repository",
    "Rollout",
    "RolloutStatus",
    "decide",
    "forge_of",
    "plan_delivery",
    "proposal",
    "run_controller",
    "status_of",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
