"""The one place that knows SQLite from PostgreSQL: URLs, connections, transactions, and the drivers' own fast paths."""

from __future__ import annotations

import hashlib
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, Table, create_engine, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from proveout.storage.errors import StoreError, explain

Row = tuple[Any, ...]

DEFAULT_TIMEOUT_S = 30.0
PORTIONS = (128, 32, 8, 2, 1)
_EXAMPLES = "Write sqlite:///path/to/store.db or postgresql://user:password@host/database."


class Database:
    """A store's address and how to talk to it. Opening one connects to nothing yet.

    `timeout` in the URL's query (seconds, 30 unless set) bounds how long anything waits for another process's lock,
    and how long a lost server is waited for. `synchronous=FULL` makes SQLite survive power loss too, at an fsync for
    every commit.
    """

    def __init__(self, url: str) -> None:
        parsed = _parse(url)
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        options = dict(parsed.query)
        self.name = _without_password(parsed)
        self.timeout_s = _seconds(options.pop("timeout", DEFAULT_TIMEOUT_S), self.name)
        self._synchronous = "NORMAL"
        if self.is_sqlite:
            self._synchronous = _synchronous(options.pop("synchronous", "NORMAL"), self.name)
            if options:
                known = "known ones are timeout and synchronous"
                raise StoreError("url", self.name, f"unknown option {sorted(options)[0]!r}; {known}", _EXAMPLES)
        self._url = parsed.set(query=options)
        self.engine: Engine = create_engine(
            self._url, creator=self.connect_driver, pool_pre_ping=not self.is_sqlite, hide_parameters=True
        )

    @property
    def path(self) -> Path:
        """The SQLite file."""
        return Path(self._url.database or "")

    def connect_driver(self, *, autocommit: bool = False) -> Any:
        """A new connection of the plain driver, as both SQLAlchemy's pool and `Driver` use it."""
        return self._connect_sqlite() if self.is_sqlite else self._connect_postgres(autocommit)

    def _connect_sqlite(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=self.timeout_s, isolation_level=None, check_same_thread=False)
        try:
            connection.execute(f"PRAGMA synchronous={self._synchronous}")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _connect_postgres(self, autocommit: bool) -> Any:
        import psycopg

        _, parameters = self.engine.dialect.create_connect_args(self._url)
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
            if isinstance(error, SQLAlchemyError | sqlite3.Error) or type(error).__module__.startswith("psycopg"):
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
        self.engine.dispose()


class Driver:
    """One connection of the plain driver, made when first needed and again when it was lost. Safe to share among
    threads.

    SQLAlchemy costs more than SQLite itself on statements this small, so that reading the call cache and writing
    batches go through here; everything else goes through `Database.reading` and `Database.transaction`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: Any = None
        self._lock = threading.Lock()
        self._mark = "?" if database.is_sqlite else "%s"

    def query(self, sql: str, parameters: Sequence[Any]) -> list[Row]:
        """All rows of a query with `?` for parameters. A connection found to be stale is renewed once."""
        with self._lock:
            fresh = self._connection is None
            try:
                return self._fetch(sql, parameters)
            except StoreError as error:
                if fresh or error.trouble != "unreachable":
                    raise
                return self._fetch(sql, parameters)

    def insert(self, batches: Iterable[tuple[Table, Sequence[Row]]]) -> None:
        """Insert rows into tables in one transaction; rows whose key is there already are left as they were."""
        statements: list[tuple[str, list[Any]]] = []
        lock = None
        for table, rows in batches:
            lock = lock or table.info.get("lock")
            for part in _parts(rows):
                values = [value for row in part for value in row]
                statements.append((_insert_statement(table, len(part), self._mark), values))
        with self._lock, self._connected() as connection:
            if self._database.is_sqlite:
                _insert_sqlite(connection, statements)
            else:
                _insert_postgres(connection, statements, lock)

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


def _insert_sqlite(connection: sqlite3.Connection, statements: list[tuple[str, list[Any]]]) -> None:
    if len(statements) == 1:
        connection.execute(*statements[0])
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement, values in statements:
            connection.execute(statement, values)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _insert_postgres(connection: Any, statements: list[tuple[str, list[Any]]], lock: str | None) -> None:
    if len(statements) == 1 and lock is None:
        connection.execute(*statements[0])
        return
    with connection.transaction():
        if lock is not None:
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (advisory_lock(lock),))
        for statement, values in statements:
            connection.execute(statement, values)


def advisory_lock(name: str) -> int:
    """PostgreSQL's number for a lock that we know by name."""
    return int.from_bytes(hashlib.blake2b(f"proveout {name}".encode(), digest_size=8).digest(), "big", signed=True)


@lru_cache(maxsize=1024)
def _insert_statement(table: Table, rows: int, mark: str) -> str:
    """One statement for many rows: the driver lets go of the interpreter once a statement, not once a row."""
    columns = [column.name for column in table.columns if column is not table.autoincrement_column]
    row = f"({', '.join([mark] * len(columns))})"
    names = ", ".join(f'"{name}"' for name in columns)
    return f"INSERT INTO {table.name} ({names}) VALUES {', '.join([row] * rows)} ON CONFLICT DO NOTHING"  # noqa: S608


def _parts(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """Rows in portions of a few sizes only: each size is a statement that the driver prepares once and keeps."""
    start = 0
    for size in PORTIONS:
        while len(rows) - start >= size:
            yield rows[start : start + size]
            start += size


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise StoreError("url", _shortened(url), "this is no database URL", _EXAMPLES) from None
    name = _without_password(parsed)
    if parsed.drivername in ("sqlite", "sqlite+pysqlite"):
        if not parsed.database or parsed.database == ":memory:":
            raise StoreError("url", name, "a store in memory can't be shared or kept", _EXAMPLES)
        return parsed.set(drivername="sqlite")
    if parsed.drivername in ("postgres", "postgresql", "postgresql+psycopg"):
        try:
            import psycopg  # noqa: F401  # pyright: ignore[reportUnusedImport]
        except ImportError:
            raise StoreError(
                "driver", name, "PostgreSQL's driver is not installed", "pip install 'proveout[postgres]'."
            ) from None
        return parsed.set(drivername="postgresql+psycopg")
    raise StoreError("url", name, f"{parsed.drivername} is not supported", _EXAMPLES)


def _without_password(url: URL) -> str:
    hidden = {name: "***" if "password" in name else value for name, value in url.query.items()}
    return url.set(query=hidden).render_as_string(hide_password=True)


def _shortened(url: str) -> str:
    """What can be shown of a text that could not be read as a URL, and might hold a password anywhere."""
    scheme, separator, _ = url.partition("://")
    return f"{scheme}://..." if separator else "(unreadable)"


def _seconds(value: Any, name: str) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = -1.0
    if not 0 < seconds < 86_400:
        raise StoreError("url", name, f"timeout={value} is no number of seconds", "Write for instance ?timeout=30.")
    return seconds


def _synchronous(value: Any, name: str) -> str:
    choices = ("OFF", "NORMAL", "FULL", "EXTRA")
    if str(value).upper() not in choices:
        raise StoreError("url", name, f"synchronous={value} is unknown", f"Write one of {', '.join(choices)}.")
    return str(value).upper()
