"""Runs and their scorecards."""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, select, update

from proveout.storage import tables
from proveout.storage.database import Database
from proveout.storage.errors import StoreError
from proveout.storage.records import Run, RunState

_COLUMNS = [column for column in tables.runs.columns if column.name != "scorecard"]
_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"


class Runs:
    """Every execution of a stage's gates, newest last by `id`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def start(self, *, change: str, service: str, stage: str, champion: str, challenger: str) -> Run:
        """Record that a run begins. Its id sorts after every earlier one's, also when the clock went backwards."""
        now = time.time()
        with self._database.transaction(lock="runs") as connection:
            newest = connection.execute(select(func.max(tables.runs.c.id))).scalar()
            run = Run(
                id=_next_id(now, newest),
                change=change,
                service=service,
                stage=stage,
                champion=champion,
                challenger=challenger,
                started=now,
            )
            values = {column.name: getattr(run, column.name) for column in _COLUMNS}
            connection.execute(tables.runs.insert().values(values))
        return run

    def finish(self, run: str, *, scorecard: bytes | None = None, state: RunState = "finished") -> Run:
        """Record how a run ended, with its scorecard.

        Raises:
            StoreError: there is no such run.
        """
        values: dict[str, Any] = {"finished": time.time(), "state": state}
        if scorecard is not None:
            values["scorecard"] = scorecard
        with self._database.transaction() as connection:
            changed = connection.execute(update(tables.runs).where(tables.runs.c.id == run).values(values))
        found = self.get(run) if changed.rowcount else None
        if found is None:
            raise StoreError("row", self._database.name, f"there is no run {run}", "Start the run first.")
        return found

    def get(self, run: str) -> Run | None:
        """The run with this id."""
        with self._database.reading() as connection:
            row = connection.execute(select(*_COLUMNS).where(tables.runs.c.id == run)).first()
        return None if row is None else Run(**row._mapping)  # pyright: ignore[reportPrivateUsage]

    def scorecard(self, run: str) -> bytes | None:
        """A run's scorecard, as it was handed in."""
        with self._database.reading() as connection:
            found = connection.execute(select(tables.runs.c.scorecard).where(tables.runs.c.id == run)).scalar()
        return None if found is None else bytes(found)

    def latest(
        self, limit: int = 20, *, service: str | None = None, change: str | None = None, before: str | None = None
    ) -> list[Run]:
        """Runs, newest first; `before` is the last id of the page before."""
        query = select(*_COLUMNS).order_by(tables.runs.c.id.desc()).limit(limit)
        for column, value in ((tables.runs.c.service, service), (tables.runs.c.change, change)):
            if value is not None:
                query = query.where(column == value)
        if before is not None:
            query = query.where(tables.runs.c.id < before)
        with self._database.reading() as connection:
            return [Run(**row) for row in connection.execute(query).mappings()]


def _next_id(now: float, newest: str | None) -> str:
    """UTC time to the millisecond and 30 random bits: `20260131T235959123-k3f9x2`."""
    milliseconds = int(now * 1000)
    if newest is not None:
        milliseconds = max(milliseconds, _milliseconds(newest) + 1)
    moment = datetime.fromtimestamp(milliseconds // 1000, UTC)
    tail = "".join(secrets.choice(_LETTERS) for _ in range(6))
    return f"{moment:%Y%m%dT%H%M%S}{milliseconds % 1000:03d}-{tail}"


def _milliseconds(run: str) -> int:
    moment = datetime.strptime(run[:15], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    return int(moment.timestamp()) * 1000 + int(run[15:18])
