"""Keeps what an evaluation saw: finished calls in the cache, and the outcome of every call with its run."""

from __future__ import annotations

import asyncio
import reprlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from proveout.evaluation.runner import Finished
from proveout.models import Generation

if TYPE_CHECKING:
    from proveout.storage import Outcome, Store
    from proveout.storage.calls import Calls

LONGEST_ANSWER = 20_000
"""Characters of an answer kept with its outcome; the whole text is with the finished call."""


class StoredCalls:
    """The store's finished calls as a model's `CallCache`. Without `read` none is reused, though all are kept.

    While calls are found, what is asked for in one turn of the event loop is looked up by one query: a query costs as
    much as twenty of the calls that it finds. Where the last was not found, and the store is a file, it is looked up at
    once, so that no call has to wait until the answers that came with it are scored.
    """

    def __init__(self, calls: Calls, *, read: bool = True) -> None:
        self._calls = calls
        self._read = read
        self._encode = msgspec.json.Encoder().encode
        self._decode = msgspec.json.Decoder(Generation).decode
        self._asked: list[tuple[bytes, asyncio.Future[bytes | None]]] = []
        self._finding = True

    async def get(self, key: bytes) -> Generation | None:
        if not self._read:
            return None
        if not self._finding:
            kept = self._calls.get(key)
            self._finding = kept is not None
            return None if kept is None else self._decode(kept)
        loop = asyncio.get_running_loop()
        if not self._asked:
            loop.call_soon(self._look_up)
        found: asyncio.Future[bytes | None] = loop.create_future()
        self._asked.append((key, found))
        kept = await found
        return None if kept is None else self._decode(kept)

    def _look_up(self) -> None:
        asked, self._asked = self._asked, []
        try:
            kept = self._calls.get_many([key for key, _ in asked])
        except Exception as error:
            for _, found in asked:
                if not found.done():
                    found.set_exception(error)
            return
        self._finding = bool(kept) or not self._calls.are_local
        for key, found in asked:
            if not found.done():
                found.set_result(kept.get(key))

    async def put(self, key: bytes, generation: Generation) -> None:
        await self._calls.put(key, self._encode(generation))


GATHERED = 500
"""Outcomes handed to the store's writer at once: it wakes seldom, and so seldom stands in the event loop's way."""


class OutcomeRecorder:
    """Hands the outcome of every finished call to the store's writer. Call `write` at the end for the last of them."""

    def __init__(self, store: Store, run: str, metrics: tuple[str, ...]) -> None:
        from proveout.storage import Outcome, WriterFull

        self._outcome = Outcome
        self._full = WriterFull
        self._store = store
        self._run = run
        self._metrics = metrics
        self._gathered: list[Outcome] = []

    def __call__(self, finished: Finished) -> None:
        example, attempt = finished.example, finished.attempt
        answer: Any = None
        if attempt is not None:
            answer = {
                "text": clean_text(attempt.text[:LONGEST_ANSWER]),
                "answer": _plain(attempt.answer.value),
                "problem": attempt.answer.problem,
            }
        self._gathered.append(
            self._outcome(
                run=self._run,
                example=example.id if example.source == "golden" else f"{example.source}:{example.id}",
                repeat=finished.repeat,
                arm=finished.arm,
                variant=finished.variant.fingerprint,
                scores={
                    metric: None if score is None else score.value
                    for metric, score in zip(self._metrics, finished.scores, strict=True)
                },
                answer=answer,
                failure=None if finished.failure is None else finished.failure.kind,
            )
        )
        if len(self._gathered) >= GATHERED:
            self.write()

    def write(self) -> None:
        """Queue what was gathered.

        Raises:
            StoreError: earlier outcomes could not be written.
        """
        gathered, self._gathered = self._gathered, []
        for outcome in gathered:
            try:
                self._store.outcomes.put_nowait(outcome)
            except self._full:
                self._store.writer.flush()
                self._store.outcomes.put_nowait(outcome)


def clean_text(text: str) -> str:
    """Text that any file and database can hold: half characters, which no encoding has, become question marks."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _plain(value: Any) -> Any:
    """A parsed answer as JSON can hold it; a team's own function may have made anything of it."""
    try:
        return msgspec.json.decode(msgspec.json.encode(value))
    except (TypeError, ValueError, RecursionError):
        return clean_text(reprlib.repr(value))


class Tally:
    """Counts calls and money as they come in, and tells a progress display."""

    def __init__(self, free: tuple[bool, ...], on_change: Callable[[Tally], None] | None = None) -> None:
        """`free` says of each arm whether its calls cost nothing by nature (recorded or built-in models)."""
        self.done = self.cached = self.failed = 0
        self.cost_usd = 0.0
        self.unpriced = 0
        self._priced = [[0, 0.0] for _ in free]
        self._free = free
        self._on_change = on_change

    @property
    def made(self) -> int:
        return self.done - self.cached

    @property
    def known_cost(self) -> float | None:
        """Dollars spent, or None where some calls have no known price."""
        return None if self.unpriced else self.cost_usd

    def usd_per_call(self, arm: int) -> float | None:
        """The mean price of an arm's answers, of those from the cache by today's book; None where none has a price."""
        count, cost = self._priced[arm]
        return cost / count if count else None

    def __call__(self, finished: Finished) -> None:
        self.done += 1
        generation = finished.generation
        if generation is None:
            self.failed += 1
        else:
            if generation.cost_usd is not None:
                self._priced[finished.arm][0] += 1
                self._priced[finished.arm][1] += generation.cost_usd
            if generation.cached:
                self.cached += 1
            elif generation.cost_usd is not None:
                self.cost_usd += generation.cost_usd
            elif not self._free[finished.arm]:
                self.unpriced += 1
        if self._on_change is not None:
            self._on_change(self)
