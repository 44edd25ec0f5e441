"""The audit trail: who decided what, appended and never changed. Each entry's hash covers the one before, so that an
entry that was altered, taken out or put in shows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from proveout.storage import tables
from proveout.storage.database import Database, advisory_lock
from proveout.storage.records import AuditEntry

_columns = tables.audit.c
_PAGE = 1_000


class Audit:
    """Reads and checks the trail; only decisions write to it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def after(
        self, position: int = 0, *, subject: str | None = None, actions: Sequence[str] = (), limit: int = _PAGE
    ) -> list[AuditEntry]:
        """Entries after a position, oldest first."""
        with self._database.reading() as connection:
            return read_entries(connection, position, subject=subject, actions=actions, limit=limit)

    def problems(self) -> list[str]:
        """What is wrong with the trail; nothing, if it stands as it was written.

        Entries missing from the end show by the rollouts that name them.
        """
        found: list[str] = []
        before, position, hashes = "", 0, {""}
        while entries := self.after(position):
            for entry in entries:
                body = msgspec.json.encode(entry.body).decode()
                right = _hash(before, entry.time, entry.actor, entry.action, entry.subject, body)
                if entry.hash != right:
                    found.append(f"entry {entry.position} ({entry.action} {entry.subject}) does not match its hash")
                before, position = entry.hash, entry.position
                hashes.add(entry.hash)
        with self._database.reading() as connection:
            rows = connection.execute(select(tables.rollouts.c.id, tables.rollouts.c.entry)).all()
        return found + [f"the newest entry about rollout {id} is missing" for id, entry in rows if entry not in hashes]


def read_entries(
    connection: Connection, position: int = 0, *, subject: str | None, actions: Sequence[str] = (), limit: int = _PAGE
) -> list[AuditEntry]:
    """Entries as a transaction sees them."""
    query = select(tables.audit).where(_columns.position > position).order_by(_columns.position).limit(limit)
    if subject is not None:
        query = query.where(_columns.subject == subject)
    if actions:
        query = query.where(_columns.action.in_(actions))
    return [
        AuditEntry(**{**row, "body": msgspec.json.decode(row["body"])}) for row in connection.execute(query).mappings()
    ]


def append_entry(
    connection: Connection, is_sqlite: bool, *, time: float, actor: str, action: str, subject: str, body: Any
) -> str:
    """Append an entry inside a transaction; returns its hash."""
    if not is_sqlite:
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (advisory_lock("audit"),))
    before = connection.execute(select(_columns.hash).order_by(_columns.position.desc()).limit(1)).scalar() or ""
    text = msgspec.json.encode(body).decode()
    mark = _hash(before, time, actor, action, subject, text)
    values = {"time": time, "actor": actor, "action": action, "subject": subject, "body": text, "hash": mark}
    connection.execute(tables.audit.insert().values(values))
    return mark


def _hash(before: str, time: float, actor: str, action: str, subject: str, body: str) -> str:
    return hashlib.sha256(msgspec.json.encode([before, time, actor, action, subject, body])).hexdigest()
