"""Events: what happened, appended and never changed."""

from __future__ import annotations

import secrets
import time
from typing import Any

import msgspec
from sqlalchemy import select

from proveout.storage import tables
from proveout.storage.database import Database, Row
from proveout.storage.records import Event
from proveout.storage.writer import Writer

_columns = tables.events.c


class Events:
    """An append-only list. Its order is that of commits, whatever any clock says."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database = database
        self._writer = writer

    async def append(self, kind: str, subject: str, body: Any = None) -> str:
        """Append an event, with any JSON as body; returns its id once it is committed."""
        row = _row(kind, subject, body)
        await self._writer.put(tables.events, row)
        return row[0]

    def append_nowait(self, kind: str, subject: str, body: Any = None) -> None:
        """Queue an event; `store.writer.flush()` says whether it was kept."""
        self._writer.put_nowait(tables.events, _row(kind, subject, body))

    def after(
        self, position: int = 0, *, subject: str | None = None, kind: str | None = None, limit: int = 1_000
    ) -> list[Event]:
        """Events after a position, oldest first."""
        query = select(tables.events).where(_columns.position > position).order_by(_columns.position).limit(limit)
        for column, value in ((_columns.subject, subject), (_columns.kind, kind)):
            if value is not None:
                query = query.where(column == value)
        with self._database.reading() as connection:
            return [
                Event(**{**row, "body": msgspec.json.decode(row["body"])})
                for row in connection.execute(query).mappings()
            ]


def _row(kind: str, subject: str, body: Any) -> Row:
    return (secrets.token_hex(16), time.time(), kind, subject, msgspec.json.encode(body).decode())
