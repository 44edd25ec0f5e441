"""What a run may spend: `--max-calls` and `--max-cost`, never overspent, however many calls are made at once."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from proveout.models._base import BudgetExceeded, Generation, Model, ModelError, Request
from proveout.models.pricing import ceiling_usd, cost_usd
from proveout.models.tokens import input_ceiling, output_ceiling
from proveout.project.records import Price

_PICO = 1e12
"""Money is counted in whole trillionths of a dollar, so that sums are exact."""

_NEVER_BILLED = frozenset({"connect", "rate_limit", "overloaded", "auth", "bad_request", "no_recording", "budget"})


def _pico(usd: float) -> int:
    return math.floor(usd * _PICO + 0.5)


class Reservation(NamedTuple):
    """What one call may cost at most, in trillionths of a dollar, put aside until the call is over."""

    ceiling: int


class _Waiter(NamedTuple):
    future: asyncio.Future[None]
    reservation: Reservation


class Budget:
    """Counts what was spent, and what calls in flight may still cost. One budget serves one event loop.

    A call puts its worst case aside before it is made, and is charged what it did cost when it is over. A call that
    does not fit only because of what others have put aside waits for them; one that would not fit even so is refused.
    """

    def __init__(self, *, max_calls: int | None = None, max_cost_usd: float | None = None) -> None:
        """None means no limit."""
        self.max_calls = max_calls
        self.max_cost_usd = max_cost_usd
        self.calls = 0
        """Calls made so far: every try that reached an endpoint, also one that it refused."""
        self._most_calls = math.inf if max_calls is None else max_calls
        self._most = math.inf if max_cost_usd is None else _pico(max_cost_usd)
        self._spent = 0
        self._calls_aside = 0
        self._aside = 0
        self._waiting: deque[_Waiter] = deque()

    @property
    def spent_usd(self) -> float:
        """Dollars charged so far; calls of unknown price are not in it."""
        return self._spent / _PICO

    @property
    def let_out_usd(self) -> float:
        """Dollars charged, and what calls in flight may still cost."""
        return (self._spent + self._aside) / _PICO

    async def reserve(self, ceiling_usd: float | None) -> Reservation:
        """Put a call and its worst case aside; waits while only calls in flight are in the way.

        Args:
            ceiling_usd: the most that the call can cost; None where its price is unknown.

        Raises:
            BudgetExceeded: the call would overspend the budget, or its price is unknown and money is limited.
        """
        reservation = Reservation(0 if ceiling_usd is None else _pico(ceiling_usd))
        if not self._waiting and self._fits(reservation):
            self._put_aside(reservation)
            return reservation
        waiter = _Waiter(asyncio.get_running_loop().create_future(), reservation)
        self._waiting.append(waiter)
        self._serve()
        try:
            await waiter.future
        except asyncio.CancelledError:
            if waiter.future.done() and not waiter.future.cancelled() and waiter.future.exception() is None:
                self.release(reservation)
            else:
                self._serve()
            raise
        return reservation

    def settle(self, reservation: Reservation, cost_usd: float | None) -> None:
        """Charge a call: what it cost, or, where that is unknown, its worst case."""
        self.calls += 1
        self._spent += reservation.ceiling if cost_usd is None else _pico(cost_usd)
        self.release(reservation)

    def release(self, reservation: Reservation) -> None:
        """Take back a reservation whose call was not made, or surely not billed."""
        self._calls_aside -= 1
        self._aside -= reservation.ceiling
        self._serve()

    def _fits(self, reservation: Reservation) -> bool:
        return (
            self.calls + self._calls_aside < self._most_calls
            and self._spent + self._aside + reservation.ceiling <= self._most
        )

    def _put_aside(self, reservation: Reservation) -> None:
        self._calls_aside += 1
        self._aside += reservation.ceiling

    def _serve(self) -> None:
        """Let those who wait go on, in their order: they fit now, or never will."""
        while self._waiting:
            waiter = self._waiting[0]
            if not waiter.future.done():
                if self._fits(waiter.reservation):
                    self._put_aside(waiter.reservation)
                    waiter.future.set_result(None)
                elif self._calls_aside:
                    return
                else:
                    waiter.future.set_exception(BudgetExceeded(self._refusal(waiter.reservation)))
            self._waiting.popleft()

    def _refusal(self, reservation: Reservation) -> str:
        if self.calls >= self._most_calls:
            return f"--max-calls {self.max_calls} is used up; raise it to go on, finished calls are kept"
        left = max(0.0, (self._most - self._spent) / _PICO)
        return (
            f"this call can cost up to ${reservation.ceiling / _PICO:.6g}, and ${left:.6g} of --max-cost "
            f"{self.max_cost_usd:g} are left; raise it, or set a lower `max_tokens`"
        )


class Budgeted:
    """A model whose every try is paid from a budget, and whose answers carry their cost.

    A try that failed is charged its worst case unless it surely was not billed: a server that was not reached, or that
    refused (which counts as a call, and costs nothing). Nor is a cancelled try free: the server may have answered it.
    """

    def __init__(
        self,
        model: Model,
        budget: Budget,
        price: Price | None,
        name: str,
        output: Callable[[Request], int] = output_ceiling,
    ) -> None:
        """`name`: the model's, for messages. `output`: the most tokens that a request can bring."""
        self._model = model
        self._budget = budget
        self._price = price
        self._name = name
        self._output = output

    async def generate(self, request: Request) -> Generation:
        reservation = await self._budget.reserve(self._ceiling(request))
        cost: float | None = None
        made = True
        try:
            generation = await self._model.generate(request)
            cost = cost_usd(self._price, generation.usage)
        except ModelError as error:
            refused = not may_be_billed(error)
            made = not refused or error.status is not None
            cost = 0.0 if refused else None
            raise
        finally:
            if made:
                self._budget.settle(reservation, cost)
            else:
                self._budget.release(reservation)
        return msgspec.structs.replace(generation, cost_usd=cost)

    async def aclose(self) -> None:
        await self._model.aclose()

    def _ceiling(self, request: Request) -> float | None:
        if self._budget.max_cost_usd is None:
            return None
        if self._price is None:
            raise BudgetExceeded(
                f"the price of {self._name} is unknown, so --max-cost can't be kept; add it to prices.yaml, "
                "or limit the run by --max-calls"
            )
        return ceiling_usd(self._price, input_ceiling(request), self._output(request))


def may_be_billed(error: ModelError) -> bool:
    """Whether a failed try may be on the bill."""
    if error.kind == "status":
        return error.status is None or error.status >= 500
    return error.kind not in _NEVER_BILLED
