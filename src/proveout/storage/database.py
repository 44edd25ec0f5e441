"""The one place that knows SQLite from PostgreSQL: connections, transactions, and what drivers raise."""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proveout.storage.address import Address
from proveout.storage.errors import StoreError, explain

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine


class Database:
    """A store's address and how to talk to it. Opening one connects to nothing yet.

    `timeout` in the URL's query (seconds, 30 unless set) bounds how long anything waits for another process's lock,
    and how long a lost server is waited for. `synchronous=FULL` makes SQLite survive power loss too, at an fsync for
    every commit.
    """

    def __init__(self, url: str) -> None:
        self._address = Address.read(url)
        self.is_sqlite = self._address.is_sqlite
        self.name = self._address.name
        self.timeout_s = self._address.timeout_s

    @cached_property
    def engine(self) -> Engine:
        """SQLAlchemy's way in; made when first used, as it takes longer to import than a small run takes."""
        from sqlalchemy import URL, create_engine

        url = self._address.url or URL.create("sqlite", database=str(self.path))
        return create_engine(url, creator=self.connect_driver, pool_pre_ping=not self.is_sqlite, hide_parameters=True)

    @property
    def path(self) -> Path:
        """The SQLite file."""
        return self._address.path

    def connect_driver(self, *, autocommit: bool = False) -> Any:
        """A new connection of the plain driver, as both SQLAlchemy's pool and `Driver` use it."""
        return self._connect_sqlite() if self.is_sqlite else self._connect_postgres(autocommit)

    def _connect_sqlite(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=self.timeout_s, isolation_level=None, check_same_thread=False)
        try:
            connection.execute(f"PRAGMA synchronous={self._address.synchronous}")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _connect_postgres(self, autocommit: bool) -> Any:
        import psycopg

        url = self._address.url
        assert url is not None
        _, parameters = url.get_dialect()().create_connect_args(url)
        milliseconds = int(self.timeout_s * 1000)
        limits = {
            "connect_timeout": max(2, int(self.timeout_s)),
            "tcp_user_timeout": milliseconds,
            "options": f"-c lock_timeout={milliseconds}",
            "application_name": "proveout",
        }
        return psycopg.connect(**{**limits, **parameters}, autocommit=autocommit)

    def prepare_sqlite(self) -> None:
        """Create the file's folder and put the file into write-ahead-log mode, which it then keeps."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            what = f"its folder {self.path.parent} can't be made ({error.strerror})"
            raise StoreError("missing", self.name, what, "Make the folder, or name another store.") from error
        with self.translating_errors():
            connection = self._connect_sqlite()
            try:
                self._enter_wal_mode(connection)
            finally:
                connection.close()

    def _enter_wal_mode(self, connection: sqlite3.Connection) -> None:
        """SQLite doesn't wait for others on this pragma, so that two processes that create one store must be patient
        here.
        """
        deadline = time.monotonic() + self.timeout_s
        while True:
            try:
                (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
            except sqlite3.OperationalError as error:
                if error.sqlite_errorname != "SQLITE_BUSY" or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
            else:
                break
        if mode != "wal":
            what = f"its file system has no write-ahead log (SQLite stays in mode {mode!r})"
            raise StoreError("other", self.name, what, "Put the store on a local disk, or use PostgreSQL.")

    @contextmanager
    def translating_errors(self) -> Iterator[None]:
        """Turn what drivers and SQLAlchemy raise inside into a StoreError."""
        try:
            yield
        except Exception as error:
            if isinstance(error, sqlite3.Error) or type(error).__module__.startswith(("psycopg", "sqlalchemy")):
                raise explain(error, self.name) from error
            raise

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection for queries; each sees what was committed before it began."""
        with self.translating_errors(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def transaction(self, lock: str | None = None) -> Iterator[Connection]:
        """A transaction that commits at the end of the block, or rolls back if the block raises.

        On SQLite it is the only writer from the start. On PostgreSQL `lock` names a lock held until the end, so that
        two processes which name the same one take turns.
        """
        with self.translating_errors(), self.engine.connect() as connection:
            if self.is_sqlite:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            elif lock is not None:
                connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (advisory_lock(lock),))
            yield connection
            connection.commit()

    def close(self) -> None:
        if "engine" in self.__dict__:
            self.engine.dispose()


def advisory_lock(name: str) -> int:
    """PostgreSQL's number for a lock that we know by name."""
    return int.from_bytes(hashlib.blake2b(f"proveout {name}".encode(), digest_size=8).digest(), "big", signed=True)
