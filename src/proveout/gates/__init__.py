"""Gates: one file per CLASS objective, from evidence to verdict; the run that collects the evidence; and the
scorecard."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proveout._lazy import lazy_names

if TYPE_CHECKING:
    from proveout.gates._base import Demand, Evidence, Finding, Findings, Gate
    from proveout.gates.plan import Detectable, RunPlan
    from proveout.gates.preparation import Comparison, RunOptions
    from proveout.gates.registry import GATES, UnknownGate
    from proveout.gates.run import Prepared, latest_scorecard, prepare, prove
    from proveout.gates.scorecard import GateResult, Scorecard, Verdict, decide
    from proveout.gates.self_test import SelfTest, run_self_test

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

__getattr__ = lazy_names(
    __name__,
    {
        "_base": ("Demand", "Evidence", "Finding", "Findings", "Gate"),
        "plan": ("Detectable", "RunPlan"),
        "preparation": ("Comparison", "RunOptions"),
        "registry": ("GATES", "UnknownGate"),
        "run": ("Prepared", "latest_scorecard", "prepare", "prove"),
        "scorecard": ("GateResult", "Scorecard", "Verdict", "decide"),
        "self_test": ("SelfTest", "run_self_test"),
    },
)
