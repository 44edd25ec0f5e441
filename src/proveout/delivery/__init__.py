"""Delivery: from a passed change to a new champion through git, approval and a rollout, and back again when it
degrades.

Decisions are pure (`decide`); the desk writes them down; the controller does both over and over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proveout._lazy import lazy_names

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

__getattr__ = lazy_names(
    __name__,
    {
        "controller": ("Controller",),
        "decide": ("decide",),
        "desk": ("Desk", "Proposal", "proposal"),
        "evidence": ("Evidence", "Gathering"),
        "forges": ("ForgeError", "forge_of"),
        "git": ("GitError", "Repository"),
        "planning": ("DeliveryPlan", "plan_delivery"),
        "process": ("Options", "run_controller"),
        "state": ("Refused", "Rollout"),
        "status": ("RolloutStatus", "status_of"),
    },
)
