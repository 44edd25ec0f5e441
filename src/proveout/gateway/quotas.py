"""What a client or a service has used of its quota, in this process."""

from __future__ import annotations

from time import monotonic, time

from proveout.gateway.errors import Refused
from proveout.gateway.settings import Quota

_DAY_S = 86_400


class Meter:
    """Requests as a bucket that fills evenly and holds a minute's worth; dollars as a sum that is cleared at midnight
    UTC. A request is charged once its cost is known, so that those in flight may overspend a budget a little."""

    __slots__ = ("_filled", "_level", "_quota", "_what", "day", "spent")

    def __init__(self, quota: Quota, what: str) -> None:
        self._quota = quota
        self._what = what
        self._level = quota.requests_per_minute or 0.0
        self._filled = monotonic()
        self.day = int(time() // _DAY_S)
        self.spent = 0.0

    @property
    def unlimited(self) -> bool:
        return self._quota.requests_per_minute is None and self._quota.usd_per_day is None

    def admit(self) -> None:
        """Take one request.

        Raises:
            Refused: 429: the quota is used up.
        """
        budget, rate = self._quota.usd_per_day, self._quota.requests_per_minute
        if budget is not None and self._today() >= budget:
            left = _DAY_S - time() % _DAY_S
            raise Refused(429, f"the day's budget of {self._what} is spent", code="budget_spent", retry_after_s=left)
        if rate is not None:
            now = monotonic()
            self._level = min(max(rate, 1.0), self._level + (now - self._filled) * rate / 60)
            self._filled = now
            if self._level < 1:
                wait = (1 - self._level) * 60 / rate
                what = f"{self._what} may send {rate:g} requests a minute"
                raise Refused(429, what, code="rate_limited", retry_after_s=wait)
            self._level -= 1

    def charge(self, usd: float) -> None:
        """Add what a request cost."""
        self._today()
        self.spent += usd

    def carry(self, earlier: Meter) -> None:
        """Go on from what was used under earlier settings."""
        self.day, self.spent = earlier.day, earlier.spent
        if self._quota == earlier._quota:
            self._level, self._filled = earlier._level, earlier._filled

    def _today(self) -> float:
        today = int(time() // _DAY_S)
        if today != self.day:
            self.day, self.spent = today, 0.0
        return self.spent
