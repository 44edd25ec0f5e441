"""The database without SQLAlchemy between: for what a run does, where importing it would take as long as the run."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from proveout.storage.database import Database, advisory_lock
from proveout.storage.errors import StoreError
from proveout.storage.rows import Rows

Row = tuple[Any, ...]

PORTIONS = (128, 32, 8, 2, 1)

# sqlite3 looks for an adapter of each value that is no number or text, and makes and drops an exception where there is
# none: a third of what a row with some NULLs costs. These say at once what it comes to anyway.
sqlite3.register_adapter(type(None), lambda null: null)
sqlite3.register_adapter(bool, int)


class Driver:
    """One connection of the plain driver, made when first needed and again when it was lost. Safe to share among
    threads.

    SQLAlchemy costs more than SQLite itself on statements this small, and more to import than a small run takes. So
    all that a run and the request path do goes through here; the rest goes through `Database.reading` and
    `Database.transaction`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: Any = None
        self._lock = threading.Lock()
        self._mark = "?" if database.is_sqlite else "%s"

    @property
    def is_local(self) -> bool:
        """Whether a query is no round trip to a server."""
        return self._database.is_sqlite

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """All rows of a query with `?` for parameters. A connection found to be stale is renewed once."""
        with self._lock:
            fresh = self._connection is None
            try:
                return self._fetch(sql, parameters)
            except StoreError as error:
                if fresh or error.trouble != "unreachable":
                    raise
                return self._fetch(sql, parameters)

    def insert(self, batches: Iterable[tuple[Rows, Sequence[Row]]]) -> None:
        """Insert rows into tables in one transaction; rows whose key is there already are left as they were."""
        statements: list[tuple[str, list[Any]]] = []
        lock = None
        for table, rows in batches:
            lock = lock or table.lock
            for part in _parts(rows):
                values = [value for row in part for value in row]
                statements.append((_insert_statement(table, len(part), self._mark), values))
        with self._lock, self._connected() as connection:
            if len(statements) == 1 and (lock is None or self._database.is_sqlite):
                connection.execute(*statements[0])
                return
            with self._begun(connection, lock):
                for statement, values in statements:
                    connection.execute(statement, values)

    @contextmanager
    def transaction(self, lock: str | None = None) -> Iterator[Transaction]:
        """A transaction that commits at the end of the block, or rolls back if the block raises.

        On SQLite it is the only writer from the start. On PostgreSQL `lock` names a lock held until the end, so that
        two processes which name the same one take turns. A connection found to be stale is renewed before it begins.
        """
        self.query("SELECT 1")
        with self._lock, self._connected() as connection, self._begun(connection, lock):
            yield Transaction(connection, self._mark)

    @contextmanager
    def _begun(self, connection: Any, lock: str | None) -> Iterator[None]:
        if self._database.is_sqlite:
            with _sqlite_transaction(connection):
                yield
            return
        with connection.transaction():
            if lock is not None:
                connection.execute("SELECT pg_advisory_xact_lock(%s)", (advisory_lock(lock),))
            yield

    def _fetch(self, sql: str, parameters: Sequence[Any]) -> list[Row]:
        with self._connected() as connection:
            return connection.execute(sql.replace("?", self._mark), parameters).fetchall()

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        """The connection, dropped when what is done with it shows that it is dead."""
        try:
            with self._database.translating_errors():
                if self._connection is None:
                    self._connection = self._database.connect_driver(autocommit=True)
                yield self._connection
        except StoreError as error:
            if error.trouble == "unreachable":
                self._drop()
            raise

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def close(self) -> None:
        with self._lock:
            self._drop()


class Transaction:
    """Statements inside one transaction, with `?` for parameters."""

    def __init__(self, connection: Any, mark: str) -> None:
        self._connection = connection
        self._mark = mark

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """All rows of a query."""
        return self._execute(sql, parameters).fetchall()

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Run a statement; how many rows it touched."""
        return self._execute(sql, parameters).rowcount

    def _execute(self, sql: str, parameters: Sequence[Any]) -> Any:
        return self._connection.execute(sql.replace("?", self._mark), parameters)


@contextmanager
def _sqlite_transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@lru_cache(maxsize=1024)
def _insert_statement(rows: Rows, count: int, mark: str) -> str:
    """One statement for many rows: the driver lets go of the interpreter once a statement, not once a row."""
    row = f"({', '.join([mark] * len(rows.columns))})"
    names = ", ".join(f'"{name}"' for name in rows.columns)
    return f"INSERT INTO {rows.table} ({names}) VALUES {', '.join([row] * count)} ON CONFLICT DO NOTHING"  # noqa: S608


def insert_sql(table: str, columns: Sequence[str]) -> str:
    """An INSERT of one row, with `?` for its values."""
    names = ", ".join(f'"{name}"' for name in columns)
    return f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608


def columns_sql(columns: Sequence[str]) -> str:
    """Column names as a SELECT lists them."""
    return ", ".join(f'"{name}"' for name in columns)


def _parts(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """Rows in portions of a few sizes only: each size is a statement that the driver prepares once and keeps."""
    start = 0
    for size in PORTIONS:
        while len(rows) - start >= size:
            yield rows[start : start + size]
            start += size
