"""The scorecard's own JSON (`proveout.scorecard/v1`), unchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proveout.gates.scorecard import Scorecard


def render_json(scorecard: Scorecard) -> str:
    """What `Scorecard.from_json` reads again."""
    return scorecard.to_json().decode()
