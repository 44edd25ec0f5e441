"""Which schema a store has, and bringing an older one up to date. Alembic and SQLAlchemy are imported only where there
is something to do.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from proveout.storage.database import Database
from proveout.storage.driver import Driver
from proveout.storage.errors import StoreError

if TYPE_CHECKING:
    from sqlalchemy import Connection

VERSION_TABLE = "proveout_schema"
REVISIONS = ("0001", "0002", "0003", "0004")
"""Every schema there ever was, oldest first: the file names in `migrations/versions` begin with them."""

MIGRATIONS = str(Path(__file__).parent / "migrations")


_IS_THERE = {
    True: f"SELECT 1 FROM sqlite_master WHERE name = '{VERSION_TABLE}'",  # noqa: S608
    False: f"SELECT 1 WHERE to_regclass('{VERSION_TABLE}') IS NOT NULL",
}
_VERSION = f"SELECT version_num FROM {VERSION_TABLE}"  # noqa: S608


def ensure_schema(database: Database, driver: Driver) -> None:
    """Make the store's schema the newest, keeping all rows. Several processes may do this at once.

    Raises:
        StoreError: the store is newer than this Proveout, or can't be read or written.
    """
    there = driver.query(_IS_THERE[database.is_sqlite])
    if not there and database.is_sqlite and _make_new(driver):
        return
    found = driver.query(_VERSION) if there else []
    if _known(found[0][0] if found else None, database) == REVISIONS[-1]:
        return
    with database.transaction(lock="schema") as connection:
        if _revision(connection, database) != REVISIONS[-1]:
            migrate(connection, REVISIONS[-1])


def _make_new(driver: Driver) -> bool:
    """Make the tables of a new SQLite store from what the migrations come to in the end; whether it did. Going through
    them would load SQLAlchemy and Alembic, which takes longer than a small run.
    """
    newest = Path(MIGRATIONS, f"{REVISIONS[-1]}.sqlite.sql")
    if not newest.exists():
        return False
    statements = newest.read_text(encoding="utf-8").split(";\n")
    with driver.transaction() as transaction:
        if transaction.query(_IS_THERE[True]):
            return False
        for statement in statements:
            transaction.execute(statement)
    return True


def migrate(connection: Connection, revision: str) -> None:
    """Upgrade to a revision inside the connection's transaction."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", MIGRATIONS.replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def _revision(connection: Connection, database: Database) -> str | None:
    """The store's revision; None for an empty one."""
    if connection.exec_driver_sql(_IS_THERE[database.is_sqlite]).first() is None:
        return None
    return _known(connection.exec_driver_sql(_VERSION).scalar(), database)


def _known(revision: str | None, database: Database) -> str | None:
    if revision is not None and revision not in REVISIONS:
        what = f"its schema {revision} is newer than this Proveout knows (up to {REVISIONS[-1]})"
        raise StoreError("schema", database.name, what, "Upgrade Proveout, or name another store.")
    return revision
