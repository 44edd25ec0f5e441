"""Evaluation: variants asked about examples, their answers scored, everything in one score table.

Names are loaded when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proveout._lazy import lazy_names

if TYPE_CHECKING:
    from proveout.evaluation.inspection import FailureCollector, FlipCollector, ReadingCollector
    from proveout.evaluation.opening import CannotOpen, OpenModels
    from proveout.evaluation.recording import OutcomeRecorder, StoredCalls, Tally
    from proveout.evaluation.records import Attempt, Score
    from proveout.evaluation.runner import Arm, Finished, Metric, Observer, evaluate, request_of
    from proveout.evaluation.scorers import ScorerError, create_scorer, describe_scorer, known_scorers
    from proveout.evaluation.scoring import HUMAN, Scoring
    from proveout.evaluation.spending import SpendingCollector
    from proveout.evaluation.table import ScoreTable
    from proveout.evaluation.workload import Repeats, Task, tasks

__all__ = [
    "HUMAN",
    "Arm",
    "Attempt",
    "CannotOpen",
    "FailureCollector",
    "Finished",
    "FlipCollector",
    "Metric",
    "Observer",
    "OpenModels",
    "OutcomeRecorder",
    "ReadingCollector",
    "Repeats",
    "Score",
    "ScoreTable",
    "ScorerError",
    "Scoring",
    "SpendingCollector",
    "StoredCalls",
    "Tally",
    "Task",
    "create_scorer",
    "describe_scorer",
    "evaluate",
    "known_scorers",
    "request_of",
    "tasks",
]

__getattr__ = lazy_names(
    __name__,
    {
        "inspection": ("FailureCollector", "FlipCollector", "ReadingCollector"),
        "opening": ("CannotOpen", "OpenModels"),
        "recording": ("OutcomeRecorder", "StoredCalls", "Tally"),
        "records": ("Attempt", "Score"),
        "runner": ("Arm", "Finished", "Metric", "Observer", "evaluate", "request_of"),
        "scorers": ("ScorerError", "create_scorer", "describe_scorer", "known_scorers"),
        "scoring": ("HUMAN", "Scoring"),
        "spending": ("SpendingCollector",),
        "table": ("ScoreTable",),
        "workload": ("Repeats", "Task", "tasks"),
    },
)
