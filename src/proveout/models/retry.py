"""Trying again: how long to pause after a failed try, and when to give up."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import msgspec

from proveout.models._base import Generation, Model, ModelError, Request

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
PATIENCE_S = 300.0
"""Seconds that one call pauses in all. A server that asks for more is given up at once: its quota is another day's."""


def backoff(attempt: int, error: ModelError, random: float) -> float:
    """Seconds to pause after the failed try number `attempt` (from 1); pure.

    Pauses double from half a second to half a minute. Between half and the whole of that is drawn by `random`, in
    [0, 1), so that callers who failed together do not come back together. `Retry-After` is a lower bound, lengthened
    by up to a tenth for the same reason.
    """
    longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(attempt - 1, 16))
    pause = longest * (1 + random) / 2
    return max(pause, (error.retry_after_s or 0.0) * (1 + random / 10))


class Retrying:
    """A model that is asked again when an error says that this can help, up to `retries` further times.

    The time of a call is bounded: each try by the endpoint's own time limit, all pauses together by `PATIENCE_S`.
    """

    def __init__(
        self,
        model: Model,
        retries: int,
        *,
        random: Callable[[], float] = random.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._model = model
        self._retries = retries
        self._random = random
        self._sleep = sleep

    async def generate(self, request: Request) -> Generation:
        """One answer, with the number of tries that it took and how many of them were paid for in vain.

        Raises:
            ModelError: the last try's; `attempts` says how many were made.
        """
        try:
            return await self._model.generate(request)
        except ModelError as error:
            if not error.retryable or self._retries < 1:
                raise
            return await self._again(request, error)

    async def aclose(self) -> None:
        await self._model.aclose()

    async def _again(self, request: Request, error: ModelError) -> Generation:
        paused, discarded = 0.0, error.discarded
        for attempt in range(1, self._retries + 1):
            pause = backoff(attempt, error, self._random())
            paused += pause
            if paused > PATIENCE_S:
                break
            await self._sleep(pause)
            try:
                generation = await self._model.generate(request)
            except ModelError as later:
                discarded += later.discarded
                later.attempts = attempt + 1
                error = later
                if not error.retryable:
                    break
            else:
                return msgspec.structs.replace(generation, attempts=attempt + 1, discarded=discarded)
        error.discarded = discarded
        raise error
