"""One timer per connection, moved only when it must fire earlier: an ordinary request costs no timer."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from time import monotonic

_HELD_UP_S = 0.02


class LazyTimer:
    """Calls `check(now)` once the earliest deadline asked for has come.

    `check` acts on whatever is due and returns the next deadline (infinity for none). It may be called early:
    deadlines that moved back are noticed only when the old one comes. Where the event loop was held up, sockets are
    read first, so that a peer is never blamed for what came in time and had not been looked at.
    """

    __slots__ = ("_check", "_handle", "_looked_again", "_loop", "when")

    def __init__(self, loop: asyncio.AbstractEventLoop, check: Callable[[float], float]) -> None:
        self._loop = loop
        self._check = check
        self._handle: asyncio.TimerHandle | None = None
        self._looked_again = False
        self.when = math.inf

    def ask(self, deadline: float) -> None:
        """Make sure that `check` runs at `deadline` (on `time.monotonic`) or before."""
        if deadline < self.when:
            if self._handle is not None:
                self._handle.cancel()
            self.when = deadline
            self._start(deadline - monotonic())

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self.when = math.inf

    def _start(self, seconds: float) -> None:
        # Loops count in milliseconds, some cached: a little late is right, a little early only fires twice.
        self._handle = self._loop.call_later(max(seconds, 0.0) + 0.001, self._fire)

    def _fire(self) -> None:
        now = monotonic()
        if now - self.when > _HELD_UP_S and not self._looked_again:
            self._looked_again = True
            self._start(0.0)
            return
        self._looked_again = False
        self._handle = None
        self.when = math.inf
        self.ask(self._check(now))
