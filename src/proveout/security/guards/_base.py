"""The protocol of guards."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol


class Said(NamedTuple):
    """What a guard looks at: a request's texts, or an answer's. `valid` says whether an answer meets the service's
    output contract. Of a text that grows, what ends before `start` was looked at already."""

    text: str
    valid: Callable[[], bool] = lambda: True
    start: int = 0


class Guard(Protocol):
    """A check at a checkpoint. Fast, and without I/O: it runs in the way of a request."""

    def hit(self, said: Said) -> bool:
        """Whether this is what the guard is against."""
        ...
