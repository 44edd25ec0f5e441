"""Events: what happened, appended and never changed."""

from __future__ import annotations

import secrets
import time
from typing import Any

import msgspec

from proveout.storage.driver import Driver, Row, columns_sql
from proveout.storage.records import Event
from proveout.storage.rows import EVENTS
from proveout.storage.writer import Writer

_COLUMNS = Event.__struct_fields__
_SELECT = f"SELECT {columns_sql(_COLUMNS)} FROM events WHERE position > ?"  # noqa: S608


class Events:
    """An append-only list. Its order is that of commits, whatever any clock says."""

    def __init__(self, driver: Driver, writer: Writer) -> None:
        self._driver = driver
        self._writer = writer

    async def append(self, kind: str, subject: str, body: Any = None) -> str:
        """Append an event, with any JSON as body; returns its id once it is committed."""
        row = _row(kind, subject, body)
        await self._writer.put(EVENTS, row)
        return row[0]

    def append_nowait(self, kind: str, subject: str, body: Any = None) -> None:
        """Queue an event; `store.writer.flush()` says whether it was kept."""
        self._writer.put_nowait(EVENTS, _row(kind, subject, body))

    def after(
        self, position: int = 0, *, subject: str | None = None, kind: str | None = None, limit: int = 1_000
    ) -> list[Event]:
        """Events after a position, oldest first."""
        wanted = {"subject = ?": subject, "kind = ?": kind}
        conditions = {sql: value for sql, value in wanted.items() if value is not None}
        query = f"{_SELECT}{''.join(f' AND {sql}' for sql in conditions)} ORDER BY position LIMIT ?"
        rows = self._driver.query(query, (position, *conditions.values(), limit))
        return [_event(dict(zip(_COLUMNS, row, strict=True))) for row in rows]

    def latest(self, kind: str, subject: str) -> Event | None:
        """The newest event of a kind about a subject."""
        query = f"{_SELECT} AND subject = ? AND kind = ? ORDER BY position DESC LIMIT 1"
        rows = self._driver.query(query, (0, subject, kind))
        return _event(dict(zip(_COLUMNS, rows[0], strict=True))) if rows else None


def _event(fields: dict[str, Any]) -> Event:
    return Event(**{**fields, "body": msgspec.json.decode(fields["body"])})


def _row(kind: str, subject: str, body: Any) -> Row:
    return (secrets.token_hex(16), time.time(), kind, subject, msgspec.json.encode(body).decode())
