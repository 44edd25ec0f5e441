"""Every kind of report by name; its module is loaded when it is first asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from proveout.reports._base import Renderer, ReportError

if TYPE_CHECKING:
    from proveout.gates.scorecard import Scorecard

RENDERERS: dict[str, str] = {
    "terminal": "terminal:render_terminal",
    "html": "html:render_html",
    "markdown": "markdown:render_markdown",
    "json": "contract_json:render_json",
    "junit": "junit:render_junit",
}
"""Kind → `module:function` in this package."""


def renderer(kind: str) -> Renderer:
    """The renderer of one kind.

    Raises:
        ReportError: there is no such kind.
    """
    try:
        module, function = RENDERERS[kind].split(":")
    except KeyError:
        raise ReportError(f"there is no report of kind {kind!r}; write one of {', '.join(RENDERERS)}") from None
    return getattr(import_module(f"proveout.reports.{module}"), function)


def render(scorecard: Scorecard, kind: str) -> str:
    """The scorecard as one text.

    Args:
        scorecard: what to show.
        kind: terminal, html, markdown, json or junit.

    Raises:
        ReportError: there is no such kind.
    """
    return renderer(kind)(scorecard)
