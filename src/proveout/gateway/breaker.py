"""A circuit breaker: an endpoint that keeps failing is left alone for a while. Pure: the time is given to it."""

from __future__ import annotations

from collections import deque
from typing import Literal

State = Literal["closed", "open", "half_open"]

FAILURES_IN_A_ROW = 5
WINDOW = 20
SHARE = 0.5
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0


class Breaker:
    """Closed: calls pass. It opens after `FAILURES_IN_A_ROW`, or when more than half of the last `WINDOW` calls failed;
    then none pass until a pause is over, then one (half-open), whose outcome closes it or doubles the pause."""

    __slots__ = ("_pause", "_recent", "_row", "_until", "state")

    def __init__(self) -> None:
        self.state: State = "closed"
        self._recent: deque[bool] = deque(maxlen=WINDOW)
        self._row = 0
        self._until = 0.0
        self._pause = FIRST_PAUSE_S

    def allows(self, now: float) -> bool:
        """Whether a call may be made; asking while open and due claims the one try."""
        if self.state == "closed":
            return True
        if now < self._until:
            return False
        self.state = "half_open"
        self._until = now + self._pause  # Should the try never report, the next one comes after another pause.
        return True

    def opens_in(self, now: float) -> float:
        """Seconds until a call may be made; 0 where it may be now."""
        return 0.0 if self.state == "closed" else max(0.0, self._until - now)

    def succeeded(self) -> None:
        if self.state != "closed":
            self.state = "closed"
            self._recent.clear()
            self._pause = FIRST_PAUSE_S
        self._row = 0
        self._recent.append(True)

    def failed(self, now: float) -> None:
        self._row += 1
        self._recent.append(False)
        if self.state == "half_open":
            self._open(now, min(self._pause * 2, LONGEST_PAUSE_S))
        elif self.state == "closed" and self._too_many():
            self._open(now, FIRST_PAUSE_S)

    def _too_many(self) -> bool:
        full = len(self._recent) == WINDOW
        return self._row >= FAILURES_IN_A_ROW or (full and self._recent.count(False) > SHARE * WINDOW)

    def _open(self, now: float, pause: float) -> None:
        self.state = "open"
        self._pause = pause
        self._until = now + pause
