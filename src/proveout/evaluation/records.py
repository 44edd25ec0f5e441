"""What an evaluation hands to scorers and gates."""

from __future__ import annotations

from typing import Any

import msgspec

from proveout.project.records import Answer, Example


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a scorer may look at: the example, the raw text, the parsed answer, tool calls and finish reason of
    one call."""

    example: Example
    text: str
    answer: Answer
    tool_calls: tuple[Any, ...] = ()
    finish_reason: str = "stop"


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """A scorer's verdict on one attempt: `value` in [0, 1] unless the scorer says otherwise, `reason` for the reader.

    `parse_failed` marks an answer that could not be read at all (it scores as the scorer says, usually 0, and is
    counted apart).
    """

    value: float
    reason: str = ""
    parse_failed: bool = False
