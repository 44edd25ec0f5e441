"""What a load test recorded, request by request, in columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

ANSWERED = ""
STOPPED = "stopped"
"""The error of a request that was under way when the test was stopped. It is in no figure."""


@dataclass(frozen=True)
class Records:
    """One entry per request. Times are seconds from the run's start, NaN where it did not come to that.

    `due`: when the schedule wanted it sent (closed: when the answer before it was whole). `ready`: `due`, or when its
    place under a concurrency cap became free. `asked`: when the client got round to it, so that `asked - ready` is the
    client's own lag. `sent`: when it was written to the socket. `done`: when the answer's last byte came. `stamps`
    holds the arrival of every piece of content of all requests, one after the other; request i has those from
    `starts[i]` to `starts[i + 1]`.
    """

    index: Integers
    arm: Integers
    block: Integers
    counted: Flags
    """Whether the request counts: False in warm-ups and wash-outs."""
    due: Floats
    ready: Floats
    asked: Floats
    sent: Floats
    done: Floats
    input_tokens: Floats
    output_tokens: Floats
    cached_tokens: Floats
    reasoning_tokens: Floats
    wanted_input: Floats
    wanted_output: Floats
    finish: tuple[str, ...]
    error: tuple[str, ...]
    """A kind of `ModelError`, `stopped`, or empty where there is an answer."""
    text: tuple[str, ...]
    """The answers, where they were kept; else empty."""
    starts: Integers
    stamps: Floats

    def __len__(self) -> int:
        return len(self.index)

    @cached_property
    def ok(self) -> Flags:
        return np.array([error == ANSWERED for error in self.error], dtype=bool)

    @cached_property
    def chunks(self) -> Integers:
        """Pieces of content of each request."""
        return np.diff(self.starts)

    @cached_property
    def first(self) -> Floats:
        """Arrival of the first content."""
        return self._at(self.starts[:-1])

    @cached_property
    def last(self) -> Floats:
        """Arrival of the last content."""
        return self._at(self.starts[1:] - 1)

    @cached_property
    def lag(self) -> Floats:
        """By how much the client itself was late."""
        return self.asked - self.ready

    @cached_property
    def origin(self) -> Floats:
        """What latencies are measured from: the time due, but for the client's own lag, so that a wait under a cap
        counts in full and our own slowness does not."""
        return self.due + self.lag

    @cached_property
    def ttft(self) -> Floats:
        """Seconds to the first content; +inf where the request failed, NaN where the answer was not streamed."""
        return np.where(self.ok, self.first - self.origin, np.inf)

    @cached_property
    def e2e(self) -> Floats:
        """Seconds to the whole answer; +inf where the request failed."""
        return np.where(self.ok, self.done - self.origin, np.inf)

    @cached_property
    def tokens(self) -> Floats:
        """Output tokens that were seen coming: by the endpoint's count without reasoning, else by pieces."""
        counted = self.output_tokens - np.nan_to_num(self.reasoning_tokens)
        return np.where(counted >= 1, counted, self.chunks)

    @cached_property
    def tpot(self) -> Floats:
        """Mean seconds per token after the first; NaN with fewer than two, +inf where the request failed."""
        several = self.ok & (self.tokens >= 2) & (self.chunks >= 2)
        after = np.divide(self.last - self.first, self.tokens - 1, out=np.full(len(self), np.nan), where=several)
        return np.where(self.ok, after, np.inf)

    @cached_property
    def gaps(self) -> tuple[Floats, Integers]:
        """Every gap between two pieces of content of answered requests (ITL), and the request of each."""
        owner = np.repeat(np.arange(len(self)), self.chunks)
        inside = (owner[1:] == owner[:-1]) & self.ok[owner[1:]] if len(owner) else np.zeros(0, bool)
        return np.diff(self.stamps)[inside] if len(owner) else np.zeros(0), owner[1:][inside]

    @cached_property
    def stall(self) -> Floats:
        """The largest gap of each request; NaN with fewer than two pieces, +inf where it failed."""
        gaps, owner = self.gaps
        largest = np.full(len(self), -np.inf)
        np.maximum.at(largest, owner, gaps)
        return np.where(self.ok, np.where(np.isinf(largest), np.nan, largest), np.inf)

    def where(self, keep: Flags) -> Self:
        """Only some of the requests."""
        rows = np.flatnonzero(keep)
        chunks = self.chunks[rows]
        stamps = self.stamps[np.repeat(keep, self.chunks)]
        columns: dict[str, Any] = {
            field.name: _taken(getattr(self, field.name), rows)
            for field in fields(self)
            if field.name not in ("starts", "stamps")
        }
        return type(self)(**columns, starts=np.concatenate([[0], np.cumsum(chunks)]).astype(np.int64), stamps=stamps)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Records of several workers, in the order of their due times."""
        if len(parts) == 1:
            return parts[0]
        columns: dict[str, Any] = {
            field.name: _concatenated([getattr(part, field.name) for part in parts])
            for field in fields(cls)
            if field.name != "starts"
        }
        chunks = np.concatenate([part.chunks for part in parts])
        whole = cls(**columns, starts=np.concatenate([[0], np.cumsum(chunks)]).astype(np.int64))
        return whole.sorted_by(whole.due)

    def sorted_by(self, key: Floats) -> Self:
        """The same requests in the order of `key`."""
        order = np.argsort(key, kind="stable")
        pieces = [self.stamps[self.starts[row] : self.starts[row + 1]] for row in order]
        columns: dict[str, Any] = {
            field.name: _taken(getattr(self, field.name), order)
            for field in fields(self)
            if field.name not in ("starts", "stamps")
        }
        starts = np.concatenate([[0], np.cumsum(self.chunks[order])]).astype(np.int64)
        return type(self)(**columns, starts=starts, stamps=np.concatenate(pieces) if pieces else self.stamps)

    def _at(self, places: Integers) -> Floats:
        if not len(self.stamps):
            return np.full(len(self), np.nan)
        return np.where(self.chunks > 0, self.stamps[np.clip(places, 0, len(self.stamps) - 1)], np.nan)


def _taken(values: Any, rows: Integers) -> Any:
    """Some entries of a column, which is an array or a tuple of texts."""
    return tuple(values[row] for row in rows) if isinstance(values, tuple) else values[rows]


def _concatenated(parts: Sequence[Any]) -> Any:
    if isinstance(parts[0], tuple):
        return tuple(item for part in parts for item in part)
    return np.concatenate(parts)
