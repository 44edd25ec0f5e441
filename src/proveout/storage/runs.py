"""Runs and their scorecards."""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime
from typing import Any

import msgspec

from proveout.storage.driver import Driver, columns_sql, insert_sql
from proveout.storage.errors import StoreError
from proveout.storage.records import Run, RunState

_COLUMNS = Run.__struct_fields__
_SELECT = f"SELECT {columns_sql(_COLUMNS)} FROM runs"  # noqa: S608
_INSERT = insert_sql("runs", _COLUMNS)
_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"


class Runs:
    """Every execution of a stage's gates, newest last by `id`."""

    def __init__(self, driver: Driver, store: str) -> None:
        self._driver = driver
        self._store = store

    def start(self, *, change: str, service: str, stage: str, champion: str, challenger: str) -> Run:
        """Record that a run begins. Its id sorts after every earlier one's, also when the clock went backwards."""
        now = time.time()
        with self._driver.transaction(lock="runs") as transaction:
            ((newest,),) = transaction.query("SELECT max(id) FROM runs")
            run = Run(
                id=_next_id(now, newest),
                change=change,
                service=service,
                stage=stage,
                champion=champion,
                challenger=challenger,
                started=now,
            )
            transaction.execute(_INSERT, msgspec.structs.astuple(run))
        return run

    def finish(self, run: str, *, scorecard: bytes | None = None, state: RunState = "finished") -> Run:
        """Record how a run ended, with its scorecard.

        Raises:
            StoreError: there is no such run.
        """
        with self._driver.transaction() as transaction:
            transaction.execute(
                "UPDATE runs SET finished = ?, state = ?, scorecard = coalesce(?, scorecard) WHERE id = ?",
                (time.time(), state, scorecard, run),
            )
        found = self.get(run)
        if found is None:
            raise StoreError("row", self._store, f"there is no run {run}", "Start the run first.")
        return found

    def get(self, run: str) -> Run | None:
        """The run with this id."""
        rows = self._driver.query(f"{_SELECT} WHERE id = ?", (run,))
        return _run(rows[0]) if rows else None

    def scorecard(self, run: str) -> bytes | None:
        """A run's scorecard, as it was handed in."""
        rows = self._driver.query("SELECT scorecard FROM runs WHERE id = ?", (run,))
        return bytes(rows[0][0]) if rows and rows[0][0] is not None else None

    def latest(
        self, limit: int = 20, *, service: str | None = None, change: str | None = None, before: str | None = None
    ) -> list[Run]:
        """Runs, newest first; `before` is the last id of the page before."""
        wanted = {"service = ?": service, "change = ?": change, "id < ?": before}
        conditions = {sql: value for sql, value in wanted.items() if value is not None}
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        query = f"{_SELECT}{where} ORDER BY id DESC LIMIT ?"
        return [_run(row) for row in self._driver.query(query, (*conditions.values(), limit))]


def _run(row: tuple[Any, ...]) -> Run:
    return Run(**dict(zip(_COLUMNS, row, strict=True)))


def _next_id(now: float, newest: str | None) -> str:
    """UTC time to the millisecond and 30 random bits: `20260131T235959123-k3f9x2`."""
    milliseconds = int(now * 1000)
    if newest is not None:
        milliseconds = max(milliseconds, _milliseconds(newest) + 1)
    moment = datetime.fromtimestamp(milliseconds // 1000, UTC)
    tail = "".join(secrets.choice(_LETTERS) for _ in range(6))
    return f"{moment:%Y%m%dT%H%M%S}{milliseconds % 1000:03d}-{tail}"


def _milliseconds(run: str) -> int:
    moment = datetime.fromisoformat(run[:15]).replace(tzinfo=UTC)
    return int(moment.timestamp()) * 1000 + int(run[15:18])
