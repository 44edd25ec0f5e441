"""What the migrations make of an empty SQLite store, as the statements that new stores are made with.

python -m tools.render_schema      after a new migration
"""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path

from proveout.storage import schema
from proveout.storage.database import Database

_MADE = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY rowid"


def statements() -> str:
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{folder}/store.db")
        database.prepare_sqlite()
        with database.transaction() as connection:
            schema.migrate(connection, schema.REVISIONS[-1])
        database.close()
        with sqlite3.connect(database.path) as made:
            found = [sql for (sql,) in made.execute(_MADE)]
    found.append(f"INSERT INTO {schema.VERSION_TABLE} VALUES ('{schema.REVISIONS[-1]}')")  # noqa: S608
    return ";\n".join("\n".join(line.rstrip() for line in sql.strip().splitlines()) for sql in found) + ";\n"


if __name__ == "__main__":
    Path(schema.MIGRATIONS, f"{schema.REVISIONS[-1]}.sqlite.sql").write_text(statements(), encoding="utf-8")
