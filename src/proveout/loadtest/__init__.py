"""Load tests: schedules, a recorder that watches itself, figures with intervals, interleaved comparison, capacity.

Names are loaded when first used, so that importing this package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proveout._lazy import lazy_names

if TYPE_CHECKING:
    from proveout.loadtest.calibration import calibrate
    from proveout.loadtest.figures import Run
    from proveout.loadtest.imports import ImportProblem, import_results
    from proveout.loadtest.recorder import CannotLoad, Recorded
    from proveout.loadtest.records import Records
    from proveout.loadtest.report import Report
    from proveout.loadtest.schedules import Closed, Open, Trace, bursts, constant, parsed_rate, piecewise, poisson, ramp
    from proveout.loadtest.session import LoadTest, Settings
    from proveout.loadtest.traces import TraceError, read_trace
    from proveout.loadtest.workers import run_plan

__all__ = [
    "CannotLoad",
    "Closed",
    "ImportProblem",
    "LoadTest",
    "Open",
    "Recorded",
    "Records",
    "Report",
    "Run",
    "Settings",
    "Trace",
    "TraceError",
    "bursts",
    "calibrate",
    "constant",
    "import_results",
    "parsed_rate",
    "piecewise",
    "poisson",
    "ramp",
    "read_trace",
    "run_plan",
]

__getattr__ = lazy_names(
    __name__,
    {
        "calibration": ("calibrate",),
        "figures": ("Run",),
        "imports": ("ImportProblem", "import_results"),
        "recorder": ("CannotLoad", "Recorded"),
        "records": ("Records",),
        "report": ("Report",),
        "schedules": ("Closed", "Open", "Trace", "bursts", "constant", "parsed_rate", "piecewise", "poisson", "ramp"),
        "session": ("LoadTest", "Settings"),
        "traces": ("TraceError", "read_trace"),
        "workers": ("run_plan",),
    },
)
