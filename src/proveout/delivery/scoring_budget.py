"""What judges may cost a day: written down before it is let out, so that a process that is killed leaves no money out
of the sum.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from proveout.models.budget import Budget, Reservation

TRANCHES = 20
"""So many times at most the whole day's budget is put aside: each is a write, and what a killed process loses of it."""

PutAside = Callable[[float], Awaitable[None]]
"""Keeps how many dollars may be spent by now, counted from the portion's begin; returns once that is committed."""


def day_budget(most_usd: float | None, spent_usd: float, put_aside: PutAside) -> Budget:
    """What is left of a day's dollars; None means no limit, and nothing is put aside."""
    if most_usd is None:
        return Budget()
    return _DayBudget(max(most_usd - spent_usd, 0.0), most_usd / TRANCHES, put_aside)


class _DayBudget(Budget):
    """Puts dollars aside in tranches, and lets a call go only once its worst case is among them."""

    def __init__(self, left_usd: float, tranche_usd: float, put_aside: PutAside) -> None:
        super().__init__(max_cost_usd=left_usd)
        self._left_usd = left_usd
        self._tranche_usd = tranche_usd
        self._put_aside_usd = put_aside
        self._kept_usd = 0.0
        self._keeping = asyncio.Lock()

    async def reserve(self, ceiling_usd: float | None) -> Reservation:
        reservation = await super().reserve(ceiling_usd)
        try:
            async with self._keeping:
                if self.let_out_usd > self._kept_usd:
                    wanted = min(max(self.let_out_usd, self._kept_usd + self._tranche_usd), self._left_usd)
                    await self._put_aside_usd(wanted)
                    self._kept_usd = wanted
        except BaseException:
            self.release(reservation)
            raise
        return reservation
