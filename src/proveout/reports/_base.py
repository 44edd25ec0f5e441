"""What a report is: one scorecard in, one text out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from proveout.gates.scorecard import Scorecard


class Renderer(Protocol):
    """Turns any scorecard into one text. Reads nothing else, decides nothing, and never fails on what a model said."""

    def __call__(self, scorecard: Scorecard, /) -> str: ...


class ReportError(Exception):
    """A report can't be rendered or written; the message names the kind or the path, and what to do."""
