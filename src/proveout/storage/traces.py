"""Traces of served requests, and the feedback that came for them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import select

from proveout.storage import tables
from proveout.storage.database import Database
from proveout.storage.driver import Row
from proveout.storage.records import Feedback, Trace
from proveout.storage.rows import FEEDBACK
from proveout.storage.writer import Writer

_traces = tables.traces.c
_feedback = tables.feedback.c
_FIELDS = Trace.__struct_fields__
trace_row = msgspec.structs.astuple
"""A trace as a row of its table."""


class Positioned(NamedTuple):
    """A trace and its place in the order of commits: readers go on after the last one seen."""

    position: int
    trace: Trace


class Traces:
    """What was served. Order is that of commits, so that a reader misses none, however late it came."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def after(
        self, position: int = 0, *, service: str | None = None, environment: str | None = None, limit: int = 1_000
    ) -> list[Positioned]:
        """Traces after a position, oldest first."""
        query = select(tables.traces).where(_traces.position > position).order_by(_traces.position).limit(limit)
        if service is not None:
            query = query.where(_traces.service == service)
        if environment is not None:
            query = query.where(_traces.environment == environment)
        with self._database.reading() as connection:
            return [_positioned(row) for row in connection.execute(query).mappings()]

    def get(self, id: str) -> Trace | None:
        """The trace with an id."""
        with self._database.reading() as connection:
            row = connection.execute(select(tables.traces).where(_traces.id == id)).mappings().first()
        return None if row is None else _positioned(row).trace

    def of(self, ids: Collection[str]) -> dict[str, Trace]:
        """The traces that there are of these ids."""
        with self._database.reading() as connection:
            rows = connection.execute(select(tables.traces).where(_traces.id.in_(ids))).mappings()
            return {row["id"]: _positioned(row).trace for row in rows}

    def contents(self, ids: Collection[str]) -> dict[str, tuple[str, str]]:
        """Requests and answers as JSON texts by trace, where they were kept."""
        contents = tables.trace_contents.c
        query = select(contents.trace, contents.request, contents.answer).where(contents.trace.in_(ids))
        with self._database.reading() as connection:
            return {row[0]: (row[1], row[2]) for row in connection.execute(query)}

    def content(self, id: str) -> tuple[str, str] | None:
        """The request and the answer of a trace as JSON texts, where they were kept."""
        return self.contents((id,)).get(id)


class FeedbackRows:
    """Scores given afterwards, in the order of commits."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database = database
        self._writer = writer

    async def put(self, feedback: Feedback) -> None:
        """Keep a score; returns once it is committed. One whose id is there already changes nothing.

        Raises:
            StoreError: it was not written.
        """
        await self._writer.put(FEEDBACK, feedback_row(feedback))

    def after(self, position: int = 0, *, limit: int = 1_000) -> list[tuple[int, Feedback]]:
        """Feedback after a position, oldest first, each with its own position."""
        query = select(tables.feedback).where(_feedback.position > position).order_by(_feedback.position).limit(limit)
        with self._database.reading() as connection:
            return [(row["position"], _read(row)) for row in connection.execute(query).mappings()]

    def of(self, traces: Iterable[str]) -> list[Feedback]:
        """The feedback of some traces, oldest first."""
        query = select(tables.feedback).where(_feedback.trace.in_(list(traces))).order_by(_feedback.position)
        with self._database.reading() as connection:
            return [_read(row) for row in connection.execute(query).mappings()]


def feedback_row(feedback: Feedback) -> Row:
    """Feedback as a row of its table."""
    id, trace, name, value, *others = msgspec.structs.astuple(feedback)
    return (id, trace, name, msgspec.json.encode(value).decode(), *others)


def _positioned(row: Any) -> Positioned:
    return Positioned(row["position"], Trace(**{name: row[name] for name in _FIELDS}))


def _read(row: Any) -> Feedback:
    fields = {name: row[name] for name in Feedback.__struct_fields__}
    return Feedback(**{**fields, "value": msgspec.json.decode(row["value"])})
