"""Which schema a store has, and bringing an older one up to date. Alembic is imported only where there is something
to do.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from proveout.storage.database import Database
from proveout.storage.errors import StoreError

VERSION_TABLE = "proveout_schema"
REVISIONS = ("0001", "0002", "0003")
"""Every schema there ever was, oldest first: the file names in `migrations/versions` begin with them."""

MIGRATIONS = str(Path(__file__).parent / "migrations")


def ensure_schema(database: Database) -> None:
    """Make the store's schema the newest, keeping all rows. Several processes may do this at once.

    Raises:
        StoreError: the store is newer than this Proveout, or can't be read or written.
    """
    with database.reading() as connection:
        if _revision(connection, database) == REVISIONS[-1]:
            return
    with database.transaction(lock="schema") as connection:
        if _revision(connection, database) != REVISIONS[-1]:
            migrate(connection, REVISIONS[-1])


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
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    revision = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608
    if revision is not None and revision not in REVISIONS:
        what = f"its schema {revision} is newer than this Proveout knows (up to {REVISIONS[-1]})"
        raise StoreError("schema", database.name, what, "Upgrade Proveout, or name another store.")
    return revision
