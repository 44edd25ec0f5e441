"""How hard an endpoint is pressed: requests and tokens per minute, and as many calls at once as it bears.

`Pace` and `Concurrency` decide and know no clock; `Limiter` makes callers wait.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Literal, NamedTuple

from proveout.models._base import Generation, Model, ModelError, Request
from proveout.models.tokens import likely_tokens
from proveout.project.records import Limits

Outcome = Literal["answered", "overloaded", "throttled", "other"]

MINUTE_S = 60.0
BURST_S = 1.0
"""How much of a limit may be used at once: what it allows in one second."""

FIRST_CONCURRENCY = 64
MOST_CONCURRENCY = 256
DECREASE = 0.7
PROBE_ROUNDS = 10
"""Rounds of answers that it takes to go up by one at the level at which the endpoint last complained."""

LEAST_SHARE = 0.01
LONGEST_GAP_S = 10.0
"""Longest pause between calls one at a time."""

LONGEST_HOLD_S = 60.0
"""Longest that one `Retry-After` holds everybody back; the caller who got it waits for all of it."""

_TIMER_SLACK_S = 0.001


class Pace:
    """A token bucket in the form of the generic cell rate algorithm (ITU-T I.371): it keeps the time at which all that
    was taken will have been earned.

    No stretch of a minute sees more than `per_minute`, except that an amount larger than a second's worth is let
    through once everything before it was earned.
    """

    __slots__ = ("_earned_at", "_interval_s")

    def __init__(self, per_minute: float) -> None:
        self._interval_s = (MINUTE_S + BURST_S) / per_minute
        self._earned_at = -math.inf

    def wait(self, now: float, amount: float = 1.0) -> float:
        """Seconds until `amount` may be taken."""
        return max(0.0, self._earned_at - now - max(0.0, BURST_S - amount * self._interval_s))

    def take(self, now: float, amount: float = 1.0) -> None:
        self._earned_at = max(self._earned_at, now) + amount * self._interval_s

    def give_back(self, amount: float) -> None:
        """Less (or, if negative, more) was used than was taken."""
        self._earned_at -= amount * self._interval_s


class Concurrency:
    """How many calls may be in flight: additive increase, multiplicative decrease, as TCP does it (RFC 5681).

    Every answer adds one to the limit until the endpoint first complains; from then on, a round of answers adds one,
    and near the level of the last complaint ten rounds do (as CUBIC, RFC 9438, dwells there). A complaint lowers the
    limit to a part of what was in flight, once for all calls that were in flight with it, and `Retry-After` holds
    everybody.

    An endpoint that counts requests rather than those in flight may complain even of one at a time. Being throttled
    (429) therefore lowers the limit below one, which is then a share of the time: after a call of t seconds nobody
    calls for t (1 / limit - 1).
    """

    __slots__ = ("_complained_at", "_level", "_seconds", "held_until", "in_flight", "limit", "most")

    def __init__(self, most: int | None = None) -> None:
        self.most = MOST_CONCURRENCY if most is None else most
        self.limit = float(min(FIRST_CONCURRENCY, self.most))
        self.in_flight = 0
        self.held_until = -math.inf
        self._level = 0.0
        """The limit in use at the last complaint; 0 before the first."""
        self._complained_at = -math.inf
        self._seconds = 0.0
        """What the last answered call took."""

    def has_room(self) -> bool:
        return self.in_flight < max(1, int(self.limit))

    def begin(self) -> None:
        self.in_flight += 1

    def end(self, began: float, outcome: Outcome, now: float, retry_after_s: float | None = None) -> None:
        """One call is over. `began` and `now` are on the same clock; `other` outcomes say nothing about the load."""
        busy = self.in_flight
        self.in_flight -= 1
        if outcome == "answered":
            self._seconds = now - began
            if began > self._complained_at and 2 * busy >= self.limit:
                self.limit = min(self.limit + self._step(), float(self.most))
        elif outcome != "other":
            self._hold(now, min(retry_after_s or 0.0, LONGEST_HOLD_S))
            if began > self._complained_at:
                self._complained_at = now
                self._level = min(self.limit, busy)
                lowest = LEAST_SHARE if outcome == "throttled" else min(1.0, self._level)
                self.limit = max(lowest, self._level * DECREASE)
        if self.limit < 1.0:
            self._hold(now, min((self._seconds or now - began) * (1.0 / self.limit - 1.0), LONGEST_GAP_S))

    def _hold(self, now: float, seconds: float) -> None:
        self.held_until = max(self.held_until, now + seconds)

    def _step(self) -> float:
        if not self._level:
            return 1.0
        if self.limit < 1.0:
            near = 0.9 * self._level <= self.limit < 1.1 * self._level
            return self.limit / (4 * PROBE_ROUNDS if near else 4)
        near = self._level - 1 <= self.limit < self._level + 1
        return 1.0 / (self.limit * (PROBE_ROUNDS if near else 1))

    def allow(self, most: int) -> None:
        """Never go beyond `most` from now on."""
        self.most = min(self.most, most)
        self.limit = min(self.limit, float(self.most))


class Place(NamedTuple):
    """Leave to make one call: since when, and how many tokens were taken for it."""

    began: float
    tokens: int


class _Waiter(NamedTuple):
    future: asyncio.Future[Place]
    tokens: int


class Limiter:
    """Makes callers of one endpoint wait for their turn, in the order of asking. It serves one event loop."""

    def __init__(self, limits: Limits = Limits(), clock: Callable[[], float] = monotonic) -> None:  # noqa: B008
        self._clock = clock
        self._concurrency = Concurrency(limits.concurrency)
        self._requests = _pace(limits.requests_per_minute)
        self._tokens = _pace(limits.tokens_per_minute)
        self._limits = limits
        self._waiting: deque[_Waiter] = deque()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def limit(self) -> int:
        """Calls that may be in flight now."""
        return max(1, int(self._concurrency.limit))

    @property
    def in_flight(self) -> int:
        return self._concurrency.in_flight

    @property
    def counts_tokens(self) -> bool:
        return self._tokens is not None

    def share(self, limits: Limits) -> None:
        """Another model uses the same endpoint: of two limits, the stricter holds."""
        if limits.concurrency is not None:
            self._concurrency.allow(limits.concurrency)
        requests = _stricter(self._limits.requests_per_minute, limits.requests_per_minute)
        tokens = _stricter(self._limits.tokens_per_minute, limits.tokens_per_minute)
        if requests != self._limits.requests_per_minute:
            self._requests = _pace(requests)
        if tokens != self._limits.tokens_per_minute:
            self._tokens = _pace(tokens)
        self._limits = Limits(requests_per_minute=requests, tokens_per_minute=tokens)

    async def enter(self, tokens: int = 0) -> Place:
        """Wait for a place; give it back with `leave`. Whoever is cancelled while waiting leaves nothing behind."""
        if not self._waiting:
            now = self._clock()
            if self._concurrency.has_room() and self._delay(now, tokens) <= 0:
                return self._begin(now, tokens)
        waiter = _Waiter(asyncio.get_running_loop().create_future(), tokens)
        self._waiting.append(waiter)
        self._serve()
        try:
            return await waiter.future
        except asyncio.CancelledError:
            if waiter.future.done() and not waiter.future.cancelled():
                if self._requests is not None:
                    self._requests.give_back(1)
                self.leave(waiter.future.result(), "other", used=0)
            else:
                self._serve()
            raise

    def leave(
        self, place: Place, outcome: Outcome, *, used: int | None = None, retry_after_s: float | None = None
    ) -> None:
        """The call is over; it `used` so many tokens (as many as were taken, if unknown)."""
        self._concurrency.end(place.began, outcome, self._clock(), retry_after_s)
        if self._tokens is not None and used is not None:
            self._tokens.give_back(place.tokens - used)
        if self._waiting:
            self._serve()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _delay(self, now: float, tokens: int) -> float:
        delay = self._concurrency.held_until - now
        if self._requests is not None:
            delay = max(delay, self._requests.wait(now))
        if self._tokens is not None:
            delay = max(delay, self._tokens.wait(now, tokens))
        return delay

    def _begin(self, now: float, tokens: int) -> Place:
        self._concurrency.begin()
        if self._requests is not None:
            self._requests.take(now)
        if self._tokens is not None:
            self._tokens.take(now, tokens)
        return Place(now, tokens)

    def _serve(self) -> None:
        """Let in whoever may go now, and set a timer for the first who may not yet."""
        self.close()
        while self._waiting:
            waiter = self._waiting[0]
            if not waiter.future.done():
                if not self._concurrency.has_room():
                    return
                now = self._clock()
                delay = self._delay(now, waiter.tokens)
                if delay > 0:
                    self._timer = waiter.future.get_loop().call_later(delay + _TIMER_SLACK_S, self._serve)
                    return
                waiter.future.set_result(self._begin(now, waiter.tokens))
            self._waiting.popleft()


class Limited:
    """A model that is called no harder than its endpoint's limiter lets it be."""

    def __init__(self, model: Model, limiter: Limiter) -> None:
        self._model = model
        self._limiter = limiter

    async def generate(self, request: Request) -> Generation:
        limiter = self._limiter
        place = await limiter.enter(likely_tokens(request) if limiter.counts_tokens else 0)
        outcome: Outcome = "other"
        used = retry_after_s = None
        try:
            generation = await self._model.generate(request)
            outcome = "answered"
            if generation.usage is not None:
                used = generation.usage.input_tokens + generation.usage.output_tokens
            return generation
        except ModelError as error:
            outcome, retry_after_s = outcome_of(error), error.retry_after_s
            raise
        finally:
            limiter.leave(place, outcome, used=used, retry_after_s=retry_after_s)

    async def aclose(self) -> None:
        await self._model.aclose()


def outcome_of(error: ModelError) -> Outcome:
    """Whether a failed call says that the endpoint has too much to do, or that we ask too often."""
    if error.kind == "rate_limit":
        return "throttled"
    if error.kind in ("overloaded", "timeout", "connect"):
        return "overloaded"
    return "overloaded" if error.kind == "status" and (error.status or 0) >= 500 else "other"


def _pace(per_minute: float | None) -> Pace | None:
    return None if per_minute is None else Pace(per_minute)


def _stricter(first: float | None, second: float | None) -> float | None:
    return min((limit for limit in (first, second) if limit is not None), default=None)
