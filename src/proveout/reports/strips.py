"""Pictures in one line of characters: an interval against zero and the margin, and a distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence

_BLOCKS = "▁▂▃▄▅▆▇█"


def strip(bounds: tuple[float, float, float] | None, margin: float, width: int) -> str:
    """`      ┊   │  ├──●──┤     `: the interval and its value, zero, and the line that it must clear.

    Args:
        bounds: value, low and high of the difference; None draws nothing.
        margin: where the line is that decides (0 for a claim).
        width: characters.
    """
    if bounds is None or not math.isfinite(margin):
        return ""
    value, low, high = bounds
    left, right = min(low, value, margin, 0.0), max(high, value, margin, 0.0)
    span = right - left
    if not (math.isfinite(span) and span > 0):
        return ""

    def at(x: float) -> int:
        return round((x - left) / span * (width - 1))

    cells = [" "] * width
    for place in range(at(low), at(high) + 1):
        cells[place] = "─"
    cells[at(0.0)] = "│" if cells[at(0.0)] == " " else "┼"
    if margin:
        cells[at(margin)] = "┊" if cells[at(margin)] == " " else "┆"
    cells[at(low)] = "├"
    cells[at(high)] = "┤"
    cells[at(value)] = "●"
    return "".join(cells)


def sparkline(counts: Sequence[int]) -> str:
    """`▁▂▅█▆▃▁`: how often each bin occurred, by the height of a block; empty bins are spaces."""
    highest = max(counts, default=0)
    if highest <= 0:
        return ""
    return "".join(" " if count <= 0 else _BLOCKS[(count * len(_BLOCKS) - 1) // highest] for count in counts).rstrip()
