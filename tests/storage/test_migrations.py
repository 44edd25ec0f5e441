"""Migrations: they make exactly the tables that the code describes, and keep every row on the way."""

from __future__ import annotations

import asyncio
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from alembic import autogenerate
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData, text

from proveout.storage import LedgerEntry, Release, Run, StoreError, open_store, schema, tables
from proveout.storage.database import Database
from proveout.storage.rows import BY_TABLE
from proveout.testing.servers import PostgresServer

MIGRATIONS = Path(schema.__file__).parent / "migrations"

ROWS = {
    "calls": {"key": b"key", "generation": b"generation", "created": 1.5},
    "runs": {
        "id": "20260101T000000000-abcdef",
        "change": "haiku",
        "service": "triage",
        "stage": "dev",
        "champion": "c0ffee",
        "challenger": "f00d",
        "started": 1.5,
        "state": "running",
    },
    "outcomes": {
        "run": "r",
        "example": "e",
        "repeat": 0,
        "arm": 1,
        "variant": "f00d",
        "call": b"key",
        "scores": "{}",
        "answer": "null",
    },
    "ledger": {
        "dataset_version": "d",
        "objective": "accuracy",
        "attempt": 1,
        "service": "triage",
        "metric": "exact_match",
        "champion": "c0ffee",
        "challenger": "f00d",
        "evidence": "e",
        "level": 0.05,
        "run": "r",
        "created": 1.5,
    },
    "events": {"id": "1", "time": 1.5, "kind": "k", "subject": "s", "body": "null"},
    "releases": {
        "environment": "production",
        "service": "triage",
        "epoch": 1,
        "champion": "c0ffee",
        "weights": '{"c0ffee":0.95,"f00d":0.05}',
        "shadow": "{}",
        "fallback": "[]",
        "change": "haiku",
        "step": "canary",
        "created": 1.5,
    },
    "traces": {
        "id": "t1",
        "service": "triage",
        "environment": "production",
        "operation": "chat",
        "started": 1.5,
        "epoch": 1,
        "step": "canary",
        "chosen": "f00d",
        "propensity": 0.05,
        "variant": "c0ffee",
        "variant_name": "base",
        "status": 200,
        "streamed": False,
        "e2e": 0.5,
        "reads": 1,
        "attempts": 2,
        "cached": False,
    },
    "trace_contents": {"trace": "t1", "request": "{}", "answer": "{}"},
    "feedback": {"id": "1", "trace": "t1", "name": "ok", "value": "true", "score": 1.0, "created": 1.5},
    "rollouts": {
        "id": "r1",
        "environment": "production",
        "service": "triage",
        "change": "haiku",
        "status": "running",
        "version": 1,
        "started": 1.5,
        "updated": 2.5,
        "entry": "",
        "body": "{}",
    },
    "audit": {"time": 1.5, "actor": "a", "action": "approve", "subject": "s", "body": "null", "hash": "h"},
    "leases": {"name": "l", "owner": "o", "until": 1.5},
    "errands": {
        "id": "e1",
        "kind": "alert",
        "body": "{}",
        "created": 1.5,
        "due": 1.5,
        "attempts": 0,
        "result": "",
    },
    "incidents": {
        "id": "i1",
        "environment": "production",
        "service": "triage",
        "variant": "f00d",
        "reason": "worse",
        "evidence": "{}",
        "opened": 1.5,
    },
    "failures": {
        "trace": "t1",
        "signal": "errors",
        "service": "triage",
        "variant": "f00d",
        "incident": "i1",
        "created": 1.5,
    },
}


@contextmanager
def opened(url: str) -> Iterator[Database]:
    database = Database(url)
    if database.is_sqlite:
        database.prepare_sqlite()
    try:
        yield database
    finally:
        database.close()


def test_the_list_of_revisions_is_that_of_the_migrations() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    script = ScriptDirectory.from_config(config)
    assert tuple(revision.revision for revision in script.walk_revisions())[::-1] == schema.REVISIONS
    assert script.get_heads() == [schema.REVISIONS[-1]]


def test_alembic_sees_no_difference_from_the_tables(url: str) -> None:
    open_store(url).close()
    with opened(url) as database, database.reading() as connection:
        context = MigrationContext.configure(
            connection,
            opts={"compare_type": True, "compare_server_default": True, "version_table": schema.VERSION_TABLE},
        )
        assert autogenerate.compare_metadata(context, tables.metadata) == []


def sqlite_schema(url: str) -> dict[str, str]:
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    return {name: re.sub(r"\s+", " ", sql).strip() for name, sql in rows if name != schema.VERSION_TABLE}


def postgres_schema(url: str, postgres: PostgresServer) -> str:
    dump = subprocess.run(
        [postgres.program("pg_dump"), "--schema-only", f"--exclude-table={schema.VERSION_TABLE}", "--dbname", url],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return re.sub(r"(?m)^(--.*|\\(un)?restrict .*)\n", "", dump)


def test_migrations_make_the_very_tables_that_the_code_describes_on_sqlite(tmp_path: Path) -> None:
    migrated, described = f"sqlite:///{tmp_path}/migrated.db", f"sqlite:///{tmp_path}/described.db"
    with opened(migrated) as database, database.transaction() as connection:
        schema.migrate(connection, schema.REVISIONS[-1])
    with opened(described) as database, database.transaction() as connection:
        tables.metadata.create_all(connection)
    assert sqlite_schema(migrated) == sqlite_schema(described)
    assert len(sqlite_schema(described)) >= len(tables.metadata.tables)


def test_new_sqlite_stores_are_made_as_the_migrations_would_make_them(tmp_path: Path) -> None:
    """`python -m tools.render_schema` writes the file that new stores are made from."""
    new, migrated = f"sqlite:///{tmp_path}/new.db", f"sqlite:///{tmp_path}/migrated.db"
    assert "sqlalchemy" not in loaded_by(f"from proveout.storage import open_store; open_store({new!r}).close()")
    with opened(migrated) as database, database.transaction() as connection:
        schema.migrate(connection, schema.REVISIONS[-1])
    assert sqlite_schema(new) == sqlite_schema(migrated)
    with sqlite3.connect(tmp_path / "new.db") as connection:
        assert connection.execute(f"SELECT * FROM {schema.VERSION_TABLE}").fetchall() == [(schema.REVISIONS[-1],)]


@pytest.mark.postgres
def test_migrations_make_the_very_tables_that_the_code_describes_on_postgres(postgres: PostgresServer) -> None:
    migrated, described = postgres.create_database(), postgres.create_database()
    open_store(migrated).close()
    with opened(described) as database, database.transaction() as connection:
        tables.metadata.create_all(connection)
    assert postgres_schema(migrated, postgres) == postgres_schema(described, postgres)
    assert "CREATE TABLE public.outcomes" in postgres_schema(described, postgres)


def reflected(database: Database) -> dict[str, list[dict[str, object]]]:
    """Every row of every table, whatever its columns are."""
    found = MetaData()
    with database.reading() as connection:
        found.reflect(connection)
        return {
            name: [dict(row) for row in connection.execute(table.select()).mappings()]
            for name, table in found.tables.items()
            if name != schema.VERSION_TABLE
        }


@pytest.mark.parametrize("revision", schema.REVISIONS)
def test_rows_of_every_earlier_schema_are_kept(url: str, revision: str) -> None:
    with opened(url) as database:
        with database.transaction() as connection:
            schema.migrate(connection, revision)
            found = MetaData()
            found.reflect(connection)
            for name, row in ROWS.items():
                if name in found.tables:
                    connection.execute(found.tables[name].insert().values(row))
        before = reflected(database)
        assert sum(map(len, before.values())) >= 5
        open_store(url).close()
        after = reflected(database)
    for name, rows in before.items():
        kept = [{column: row[column] for column in rows[0]} for row in after[name]]
        assert kept == rows


@pytest.fixture
def tomorrow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A Proveout whose migrations have one step more."""
    later = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, later, ignore=shutil.ignore_patterns("__pycache__"))
    (later / "versions" / "9999_labels.py").write_text(
        "import sqlalchemy as sa\nfrom alembic import op\n"
        f"revision, down_revision = '9999', {schema.REVISIONS[-1]!r}\n"
        "def upgrade():\n"
        "    op.add_column('runs', sa.Column('label', sa.Text, nullable=False, server_default='none'))\n"
    )
    monkeypatch.setattr(schema, "REVISIONS", (*schema.REVISIONS, "9999"))
    monkeypatch.setattr(schema, "MIGRATIONS", str(later))


def test_a_store_of_today_is_brought_to_tomorrow_with_its_rows(url: str, request: pytest.FixtureRequest) -> None:
    with open_store(url) as store:
        run = store.runs.start(change="c", service="s", stage="dev", champion="a", challenger="b")
        asyncio.run(store.calls.put(b"key", b"generation"))
    request.getfixturevalue("tomorrow")
    with open_store(url) as store, store.database.reading() as connection:
        assert connection.execute(text("SELECT id, label FROM runs")).all() == [(run.id, "none")]
        assert store.calls.get(b"key") == b"generation"


def test_a_store_of_tomorrow_is_refused_today(
    url: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    request.getfixturevalue("tomorrow")
    open_store(url).close()
    monkeypatch.undo()
    with pytest.raises(StoreError, match=r"its schema 9999 is newer than .* knows .*Upgrade Proveout") as caught:
        open_store(url)
    assert caught.value.trouble == "schema"


def test_a_migration_that_fails_changes_nothing(url: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    open_store(url).close()
    with opened(url) as database:
        before = reflected(database)
        request.getfixturevalue("tomorrow")
        with (tmp_path / "migrations" / "versions" / "9999_labels.py").open("a") as script:
            script.write("    op.execute('SELECT * FROM absent')\n")
        with pytest.raises(StoreError, match="absent"):
            open_store(url)
        assert reflected(database).keys() == before.keys()
        with database.reading() as connection:
            names = [column.name for column in tables.runs.columns]
            assert list(connection.execute(text("SELECT * FROM runs")).keys()) == names


def test_a_current_store_opens_without_importing_alembic(url: str) -> None:
    open_store(url).close()
    loaded = loaded_by(f"import sys; from proveout.storage import open_store; open_store({url!r}).close()")
    assert not loaded & {"alembic", "mako", "sqlalchemy.orm"}
    assert "sqlalchemy" not in loaded or not url.startswith("sqlite")


def loaded_by(program: str) -> set[str]:
    """The modules that a program leaves loaded."""
    program = f"import sys\n{program}\nprint('\\n'.join(sys.modules))"
    return set(
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    )


def test_rows_and_records_name_the_columns_of_the_tables() -> None:
    for name, rows in BY_TABLE.items():
        table = tables.metadata.tables[name]
        assert rows.columns == tuple(c.name for c in table.columns if c is not table.autoincrement_column), name
    for record, table in ((Run, tables.runs), (LedgerEntry, tables.ledger), (Release, tables.releases)):
        assert {*record.__struct_fields__} == {column.name for column in table.columns} - {"scorecard"}


def test_importing_the_room_imports_no_database_library() -> None:
    assert not loaded_by("import proveout.storage") & {"sqlalchemy", "sqlite3", "psycopg"}
