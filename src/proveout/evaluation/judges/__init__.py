"""Judges: models that score answers. Their prompts, how their answers are read, and how far they agree with people.

Names are loaded when first used: scorers need the prompts, but not the numbers behind a calibration.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proveout._lazy import lazy_names

if TYPE_CHECKING:
    from proveout.evaluation.judges.calibration import JudgeBias, JudgeCalibration, calibrate, summarise
    from proveout.evaluation.judges.labels import LabelBook, LabelledOutput, LabelsError, read_labels
    from proveout.evaluation.judges.prompts import judge_fingerprint

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

__getattr__ = lazy_names(
    __name__,
    {
        "calibration": ("JudgeBias", "JudgeCalibration", "calibrate", "summarise"),
        "labels": ("LabelBook", "LabelledOutput", "LabelsError", "read_labels"),
        "prompts": ("judge_fingerprint",),
    },
)
