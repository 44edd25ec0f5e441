"""Where rows go that are written many at a time: a table, and its columns in the order of a row's values."""

from __future__ import annotations

import msgspec

from proveout.storage.records import Feedback, Outcome, Trace


class Rows(msgspec.Struct, frozen=True):
    """A table's name and the columns of its rows, without one that numbers itself.

    `lock`: on PostgreSQL, writers of this table take turns, so that the order of its numbers is that of commits.
    """

    table: str
    columns: tuple[str, ...]
    lock: str | None = None


CALLS = Rows("calls", ("key", "generation", "created"))
OUTCOMES = Rows("outcomes", Outcome.__struct_fields__)
EVENTS = Rows("events", ("id", "time", "kind", "subject", "body"), lock="events")
TRACES = Rows("traces", Trace.__struct_fields__, lock="traces")
TRACE_CONTENTS = Rows("trace_contents", ("trace", "request", "answer"))
FEEDBACK = Rows("feedback", Feedback.__struct_fields__, lock="feedback")

BY_TABLE = {rows.table: rows for rows in (CALLS, OUTCOMES, EVENTS, TRACES, TRACE_CONTENTS, FEEDBACK)}
