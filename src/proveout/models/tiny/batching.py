"""Continuous batching: requests join and leave between steps of one engine, which a thread of its own works.

(Yu et al., "Orca", OSDI 2022.) Callers live on event loops and get each step's tokens by one call back into theirs.
"""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from proveout.models._base import ModelError
from proveout.models.tiny.blas import limit_threads
from proveout.models.tiny.engine import BLOCK, Cache, Engine, padded, span
from proveout.models.tiny.sampling import Chosen, Sampler, Sampling, choose
from proveout.models.tiny.text import TextStream
from proveout.models.tiny.tokenizer import Tokenizer

SLOTS = 32
"""Sequences that are computed together; more wait for a free slot. More slots gain nothing: the processor is full by
then.
"""
JOINING = 8
"""Prompts that are read between two steps at most, so that running answers go on."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One token of an answer. `text` is what became certain with it (it may be empty); `finish` is set on the last
    one.
    """

    text: str
    chosen: Chosen
    finish: Literal["stop", "length"] | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """What to generate: prompt ids, sampling, the most tokens, and strings to stop at."""

    prompt: Sequence[int]
    sampling: Sampling
    max_tokens: int
    stop: tuple[str, ...] = ()


@dataclass(slots=True, eq=False)
class _Sequence:
    """A job in flight. Only the worker touches it, but for `cancelled` and the queue's end."""

    job: Job
    loop: asyncio.AbstractEventLoop
    pieces: asyncio.Queue[Piece | Exception] = field(default_factory=asyncio.Queue)
    cancelled: bool = False
    length: int = 0
    produced: int = 0
    token: int = 0
    sampler: Sampler = field(init=False)
    text: TextStream = field(init=False)

    def __post_init__(self) -> None:
        self.sampler = Sampler(self.job.sampling, self.job.prompt)
        self.text = TextStream(self.job.stop)


class Batcher:
    """Runs jobs on one engine. The worker thread starts with the first job and ends with `close`."""

    def __init__(self, engine: Engine, tokenizer: Tokenizer, *, slots: int = SLOTS) -> None:
        self._engine = engine
        self._tokenizer = tokenizer
        self._slots = slots
        self._waiting: deque[_Sequence] = deque()
        self._running: list[_Sequence] = []
        self._changed = threading.Condition()
        self._closed = False
        self._worker: threading.Thread | None = None

    async def stream(self, job: Job) -> AsyncGenerator[Piece]:
        """The answer's tokens as they come. Leaving the iterator early frees the slot.

        Raises:
            ModelError: the batcher was closed (`cut`), before or meanwhile.
        """
        sequence = _Sequence(job, asyncio.get_running_loop())
        self._enqueue(sequence)
        try:
            while True:
                piece = await sequence.pieces.get()
                if isinstance(piece, Exception):
                    raise piece
                yield piece
                if piece.finish is not None:
                    return
        finally:
            sequence.cancelled = True

    def close(self) -> None:
        """End the worker after its step; jobs in flight get a ModelError. Idempotent."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _enqueue(self, sequence: _Sequence) -> None:
        with self._changed:
            if self._closed:
                raise _ended()
            self._waiting.append(sequence)
            if self._worker is None:
                self._worker = threading.Thread(target=self._work, name="proveout-tiny", daemon=True)
                self._worker.start()
            self._changed.notify()

    # The worker's side

    def _work(self) -> None:
        limit_threads()
        problem: Exception | None = None
        try:
            cache = Cache(self._engine.config, self._slots)
            while self._wait_for_work():
                self._step(cache)
        except Exception as error:
            problem = error
        finally:
            with self._changed:
                self._closed = True
                left = [*self._running, *self._waiting]
            _deliver([(sequence, _ended(problem)) for sequence in left])

    def _wait_for_work(self) -> bool:
        with self._changed:
            while not (self._running or self._waiting or self._closed):
                self._changed.wait()
            return not self._closed

    def _step(self, cache: Cache) -> None:
        """Read the prompts that join, add one token to every running answer, and hand the tokens out."""
        self._drop(cache, [sequence for sequence in self._running if sequence.cancelled])
        running = list(self._running)
        produced: list[tuple[_Sequence, Piece | Exception]] = []
        for group in _grouped(self._join(), lambda sequence: padded(len(sequence.job.prompt), BLOCK)):
            slots = [self._running.index(sequence) for sequence in group]
            logits = self._engine.prefill(cache, slots, [sequence.job.prompt for sequence in group])
            for sequence in group:
                sequence.length = len(sequence.job.prompt)
            produced += self._advance(group, choose(logits, [sequence.sampler for sequence in group]))
        for group in _grouped(running, lambda sequence: span(sequence.length)):
            whole = len(group) == len(running)
            slots = slice(0, len(group)) if whole else np.array([running.index(sequence) for sequence in group])
            tokens = np.array([sequence.token for sequence in group])
            lengths = np.array([sequence.length for sequence in group])
            logits = self._engine.decode(cache, slots, tokens, lengths)
            for sequence in group:
                sequence.length += 1
            produced += self._advance(group, choose(logits, [sequence.sampler for sequence in group]))
        self._drop(cache, [sequence for sequence, piece in produced if isinstance(piece, Piece) and piece.finish])
        _deliver(produced)

    def _join(self) -> list[_Sequence]:
        """Take waiting jobs into free slots; a sequence's slot is its place in `_running`."""
        joined: list[_Sequence] = []
        with self._changed:
            while self._waiting and len(self._running) < self._slots and len(joined) < JOINING:
                sequence = self._waiting.popleft()
                if not sequence.cancelled:
                    joined.append(sequence)
                    self._running.append(sequence)
        return joined

    def _advance(self, group: list[_Sequence], chosen: list[Chosen]) -> list[tuple[_Sequence, Piece]]:
        return [(sequence, self._piece(sequence, one)) for sequence, one in zip(group, chosen, strict=True)]

    def _piece(self, sequence: _Sequence, chosen: Chosen) -> Piece:
        """Take a token into a sequence, and see whether it ends there."""
        sequence.token = chosen.token
        sequence.produced += 1
        if chosen.token == self._tokenizer.end:
            return Piece(sequence.text.finish(), chosen, "stop")
        text = sequence.text.push(self._tokenizer.bytes_of(chosen.token))
        if sequence.text.stopped:
            return Piece(text, chosen, "stop")
        full = sequence.length >= self._engine.config.context
        if full or sequence.produced >= sequence.job.max_tokens:
            return Piece(text + sequence.text.finish(), chosen, "length")
        return Piece(text, chosen)

    def _drop(self, cache: Cache, leaving: list[_Sequence]) -> None:
        """Free slots, moving the last sequence into each gap so that the occupied slots stay together."""
        for sequence in leaving:
            slot = self._running.index(sequence)
            last = self._running.pop()
            if last is not sequence:
                self._running[slot] = last
                cache.move(len(self._running), slot, last.length)


def _ended(cause: Exception | None = None) -> ModelError:
    """Why no more tokens come: the batcher was closed, or its engine failed."""
    if cause is None:
        return ModelError("the built-in model was closed", kind="cut", status=503)
    error = ModelError(f"the built-in model failed: {cause!r}", kind="cut", status=500)
    error.__cause__ = cause
    return error


def _grouped(sequences: list[_Sequence], key: Callable[[_Sequence], int]) -> list[list[_Sequence]]:
    groups: defaultdict[int, list[_Sequence]] = defaultdict(list)
    for sequence in sequences:
        groups[key(sequence)].append(sequence)
    return list(groups.values())


def _deliver(produced: Sequence[tuple[_Sequence, Piece | Exception]]) -> None:
    """Hand pieces to their loops, by one call a loop."""
    by_loop: defaultdict[asyncio.AbstractEventLoop, list[tuple[_Sequence, Piece | Exception]]] = defaultdict(list)
    for sequence, piece in produced:
        by_loop[sequence.loop].append((sequence, piece))
    for loop, pieces in by_loop.items():
        try:
            loop.call_soon_threadsafe(_put, pieces)
        except RuntimeError:  # The loop was closed: nobody waits any more.
            for sequence, _ in pieces:
                sequence.cancelled = True


def _put(pieces: list[tuple[_Sequence, Piece | Exception]]) -> None:
    for sequence, piece in pieces:
        sequence.pieces.put_nowait(piece)
