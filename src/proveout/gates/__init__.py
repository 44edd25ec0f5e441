"""Gates: one file per CLASS objective, from evidence to verdict; the run that collects the evidence; and the
scorecard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from proveout.gates._base import Demand, Evidence, Finding, Findings, Gate
    from proveout.gates.plan import Detectable, RunPlan
    from proveout.gates.preparation import Comparison, RunOptions
    from proveout.gates.registry import GATES, UnknownGate
    from proveout.gates.run import Prepared, latest_scorecard, prepare, prove
    from proveout.gates.scorecard import GateResult, Scorecard, Verdict, decide
    from proveout.gates.self_test import SelfTest, run_self_test

_HOMES = {
    "_base": ("Demand", "Evidence", "Finding", "Findings", "Gate"),
    "plan": ("Detectable", "RunPlan"),
    "preparation": ("Comparison", "RunOptions"),
    "registry": ("GATES", "UnknownGate"),
    "run": ("Prepared", "latest_scorecard", "prepare", "prove"),
    "scorecard": ("GateResult", "Scorecard", "Verdict", "decide"),
    "self_test": ("SelfTest", "run_self_test"),
}

__all__ = [
    "GATES",
    "Comparison",
    "Demand",
    "Detectable",
    "Evidence",
    "Finding",
    "Findings",
    "Gate",
    "GateResult",
    "Prepared",
    "RunOptions",
    "RunPlan",
    "Scorecard",
    "SelfTest",
    "UnknownGate",
    "Verdict",
    "decide",
    "latest_scorecard",
    "prepare",
    "prove",
    "run_self_test",
]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
