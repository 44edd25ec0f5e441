"""One timer per connection, moved only when it must fire earlier: an ordinary request costs no timer."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from time import monotonic


class LazyTimer:
    """Calls `check(now)` no later than the earliest deadline asked for.

    `check` acts on whatever is due and returns the next deadline (infinity for none). It may be called early:
    deadlines that moved back are noticed only when the old one comes.
    """

    __slots__ = ("_check", "_handle", "_loop", "when")

    def __init__(self, loop: asyncio.AbstractEventLoop, check: Callable[[float], float]) -> None:
        self._loop = loop
        self._check = check
        self._handle: asyncio.TimerHandle | None = None
        self.when = math.inf

    def ask(self, deadline: float) -> None:
        """Make sure that `check` runs at `deadline` (on `time.monotonic`) or before."""
        if deadline < self.when:
            if self._handle is not None:
                self._handle.cancel()
            self.when = deadline
            # Loops count in milliseconds, some cached: a little late is right, a little early only fires twice.
            self._handle = self._loop.call_later(max(deadline - monotonic(), 0.0) + 0.001, self._fire)

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self.when = math.inf

    def _fire(self) -> None:
        self._handle = None
        self.when = math.inf
        self.ask(self._check(monotonic()))
