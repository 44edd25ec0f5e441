"""Opening a store: the one door to all that Proveout keeps."""

from __future__ import annotations

from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING

from proveout.storage.calls import Calls
from proveout.storage.database import Database
from proveout.storage.driver import Driver
from proveout.storage.events import Events
from proveout.storage.ledger import Ledger
from proveout.storage.outcomes import Outcomes
from proveout.storage.releases import Releases
from proveout.storage.runs import Runs
from proveout.storage.schema import ensure_schema
from proveout.storage.writer import Writer

if TYPE_CHECKING:
    from proveout.storage.audit import Audit
    from proveout.storage.deliveries import Deliveries, Leases
    from proveout.storage.traces import FeedbackRows, Traces


class Store:
    """All that Proveout keeps, by what it is: `calls`, `runs`, `outcomes`, `ledger`, `events`, `releases`, `traces`,
    `feedback`, `deliveries`, `audit`, `leases`; and the `writer` behind them.

    `url` shows no password. Close it, or use it in a `with`, so that what is queued gets written.

    What only delivery reads goes through SQLAlchemy, and is loaded when it is first asked for.
    """

    def __init__(self, database: Database, driver: Driver) -> None:
        self.database = database
        self.url = database.name
        self.writer = Writer(database)
        self._driver = driver
        self.calls = Calls(driver, self.writer)
        self.runs = Runs(driver, self.url)
        self.outcomes = Outcomes(driver, self.writer)
        self.ledger = Ledger(driver)
        self.events = Events(driver, self.writer)
        self.releases = Releases(driver)

    @cached_property
    def traces(self) -> Traces:
        from proveout.storage.traces import Traces

        return Traces(self.database)

    @cached_property
    def feedback(self) -> FeedbackRows:
        from proveout.storage.traces import FeedbackRows

        return FeedbackRows(self.database, self.writer)

    @cached_property
    def deliveries(self) -> Deliveries:
        from proveout.storage.deliveries import Deliveries

        return Deliveries(self.database)

    @cached_property
    def audit(self) -> Audit:
        from proveout.storage.audit import Audit

        return Audit(self.database)

    @cached_property
    def leases(self) -> Leases:
        from proveout.storage.deliveries import Leases

        return Leases(self.database)

    def close(self) -> None:
        """Write what is queued and disconnect. Idempotent.

        Raises:
            StoreError: a row queued without waiting was not written.
        """
        try:
            self.writer.close()
        finally:
            self._driver.close()
            self.database.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def open_store(url: str) -> Store:
    """Open the store at a URL, making it (and a SQLite file's folder) or bringing its tables up to date where needed.

    `sqlite:///path/to/store.db` (a relative path is relative to the working directory) or
    `postgresql://user:password@host/database`. Options in the query: `timeout` in seconds (30) for locks and lost
    servers; on SQLite `synchronous` (`NORMAL`). What was acknowledged survives the end of the process by any signal.
    Power loss or a crash of the operating system may undo the last commits on SQLite, though never damage the file;
    with `synchronous=FULL` it undoes none, at an fsync for every commit. PostgreSQL does as its own
    `synchronous_commit` says.

    Raises:
        StoreError: the store can't be opened; says why and what to do.
    """
    database = Database(url)
    driver = Driver(database)
    try:
        if database.is_sqlite:
            database.prepare_sqlite()
        ensure_schema(database, driver)
    except BaseException:
        driver.close()
        database.close()
        raise
    return Store(database, driver)
