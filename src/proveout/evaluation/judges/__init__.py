"""Judges: models that score answers. Their prompts, how their answers are read, and how far they agree with people.

Names are loaded when first used: scorers need the prompts, but not the numbers behind a calibration.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from proveout.evaluation.judges.calibration import JudgeBias, JudgeCalibration, calibrate, summarise
    from proveout.evaluation.judges.labels import LabelBook, LabelledOutput, LabelsError, read_labels
    from proveout.evaluation.judges.prompts import judge_fingerprint

_HOME_OF = {
    "JudgeBias": "calibration",
    "JudgeCalibration": "calibration",
    "LabelBook": "labels",
    "LabelledOutput": "labels",
    "LabelsError": "labels",
    "calibrate": "calibration",
    "judge_fingerprint": "prompts",
    "read_labels": "labels",
    "summarise": "calibration",
}

__all__ = [
    "JudgeBias",
    "JudgeCalibration",
    "LabelBook",
    "LabelledOutput",
    "LabelsError",
    "calibrate",
    "judge_fingerprint",
    "read_labels",
    "summarise",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value
