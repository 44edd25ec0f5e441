"""An outage needs no statistics: 8 failures in a row, or more than half of the last 20, and the challenger is out."""

from __future__ import annotations

from collections import deque

IN_A_ROW = 8
WINDOW = 20


class KillSwitch:
    """Watches one variant's requests in the order in which they were recorded. Once tripped, it stays so."""

    def __init__(self) -> None:
        self._last: deque[bool] = deque(maxlen=WINDOW)
        self._row = 0
        self.reason: str | None = None

    def add(self, failed: bool) -> None:
        self._last.append(failed)
        self._row = self._row + 1 if failed else 0
        if self.reason is not None:
            return
        if self._row >= IN_A_ROW:
            self.reason = f"{IN_A_ROW} failures in a row"
        elif sum(self._last) > WINDOW // 2:
            self.reason = f"{sum(self._last)} failures among the last {len(self._last)} requests"
