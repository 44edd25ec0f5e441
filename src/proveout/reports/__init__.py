"""Reports: the scorecard for terminals, browsers, pull requests and machines; a run's plan and progress in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proveout._lazy import lazy_names

if TYPE_CHECKING:
    from proveout.reports._base import Renderer, ReportError
    from proveout.reports.files import require_writable, write_report
    from proveout.reports.markdown import comment_marker
    from proveout.reports.plan import plan_in_words
    from proveout.reports.progress import Progress, progress_display
    from proveout.reports.registry import RENDERERS, render, renderer
    from proveout.reports.selftest import selftest_in_words

__all__ = [
    "RENDERERS",
    "Progress",
    "Renderer",
    "ReportError",
    "comment_marker",
    "plan_in_words",
    "progress_display",
    "render",
    "renderer",
    "require_writable",
    "selftest_in_words",
    "write_report",
]

__getattr__ = lazy_names(
    __name__,
    {
        "_base": ("Renderer", "ReportError"),
        "files": ("require_writable", "write_report"),
        "markdown": ("comment_marker",),
        "plan": ("plan_in_words",),
        "progress": ("Progress", "progress_display"),
        "registry": ("RENDERERS", "render", "renderer"),
        "selftest": ("selftest_in_words",),
    },
)
