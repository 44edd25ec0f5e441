"""What a client or a service has used of its quota: counted in this process, and by `sharing` over all gateways."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic, time
from typing import NoReturn

from proveout.gateway.errors import Refused
from proveout.gateway.settings import Quota

_DAY_S = 86_400


class Meter:
    """Requests as a bucket that fills evenly and holds a minute's worth; dollars as a sum that is cleared at midnight
    UTC. A request is charged once its cost is known, so that those in flight may overspend a budget a little.

    `spent` are this process's dollars of the day, `elsewhere` those of other gateways as far as they are known. `what`
    names what is metered, to people and to other gateways.
    """

    __slots__ = ("__weakref__", "_filled", "_level", "charged", "day", "elsewhere", "quota", "spent", "what")

    def __init__(self, quota: Quota, what: str) -> None:
        self.quota = quota
        self.what = what
        self._level = quota.requests_per_minute or 0.0
        self._filled = monotonic()
        self.day = int(time() // _DAY_S)
        self.spent = 0.0
        self.elsewhere = 0.0
        self.charged: Callable[[Meter], object] | None = None
        """Told of every charge."""

    @property
    def unlimited(self) -> bool:
        return self.quota.requests_per_minute is None and self.quota.usd_per_day is None

    def admit(self) -> None:
        """Take one request, as this process sees it.

        Raises:
            Refused: 429: the quota is used up.
        """
        budget, rate = self.quota.usd_per_day, self.quota.requests_per_minute
        if budget is not None and self.today() + self.elsewhere >= budget:
            self.refuse(-1)
        if rate is not None:
            now = monotonic()
            self._level = min(max(rate, 1.0), self._level + (now - self._filled) * rate / 60)
            self._filled = now
            if self._level < 1:
                self.refuse((1 - self._level) * 60 / rate)
            self._level -= 1

    def refuse(self, wait_s: float) -> NoReturn:
        """
        Raises:
            Refused: 429: the rate allows a request in so many seconds, or (negative) the day's budget is spent.
        """
        if wait_s < 0:
            left = _DAY_S - time() % _DAY_S
            what = f"the day's budget of {self.what} is spent"
            raise Refused(429, what, code="budget_spent", retry_after_s=left)
        what = f"{self.what} may send {self.quota.requests_per_minute:g} requests a minute"
        raise Refused(429, what, code="rate_limited", retry_after_s=wait_s)

    def charge(self, usd: float) -> None:
        """Add what a request cost."""
        if int(time() // _DAY_S) != self.day:
            self.today()
        self.spent += usd
        if self.charged is not None:
            self.charged(self)

    def carry(self, earlier: Meter) -> None:
        """Go on from what was used under earlier settings."""
        self.day, self.spent, self.elsewhere = earlier.day, earlier.spent, earlier.elsewhere
        if self.quota == earlier.quota:
            self._level, self._filled = earlier._level, earlier._filled

    def today(self) -> float:
        """This process's dollars of the day."""
        today = int(time() // _DAY_S)
        if today != self.day:
            self.day, self.spent, self.elsewhere = today, 0.0, 0.0
        return self.spent
