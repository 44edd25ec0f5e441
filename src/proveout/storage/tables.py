"""The tables. A change here needs a migration beside it; a test compares the two on both databases."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    }
)

# Keys are compared byte by byte on both databases, so that pages come in the same order on both.
Key = Text().with_variant(Text(collation="C"), "postgresql")

calls = Table(
    "calls",
    metadata,
    Column("key", LargeBinary, primary_key=True),
    Column("generation", LargeBinary, nullable=False),
    Column("created", Double, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("id", Key, primary_key=True),
    Column("change", Text, nullable=False),
    Column("service", Text, nullable=False),
    Column("stage", Text, nullable=False),
    Column("champion", Text, nullable=False),
    Column("challenger", Text, nullable=False),
    Column("started", Double, nullable=False),
    Column("finished", Double),
    Column("state", Text, nullable=False),
    Column("scorecard", LargeBinary),
    Index(None, "service", "id"),
)

outcomes = Table(
    "outcomes",
    metadata,
    Column("run", Key, primary_key=True),
    Column("example", Key, primary_key=True),
    Column("repeat", Integer, primary_key=True),
    Column("arm", SmallInteger, primary_key=True),
    Column("variant", Text, nullable=False),
    Column("call", LargeBinary),
    Column("scores", Text, nullable=False),
    Column("answer", Text, nullable=False),
    Column("failure", Text),
    sqlite_with_rowid=False,
)

ledger = Table(
    "ledger",
    metadata,
    Column("dataset_version", Key, primary_key=True),
    Column("objective", Key, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("service", Text, nullable=False),
    Column("metric", Text, nullable=False),
    Column("champion", Text, nullable=False),
    Column("challenger", Text, nullable=False),
    Column("evidence", Text, nullable=False),
    Column("level", Double, nullable=False),
    Column("p_value", Double),
    Column("rejected", Boolean),
    Column("run", Text, nullable=False),
    Column("created", Double, nullable=False),
    UniqueConstraint("dataset_version", "objective", "champion", "challenger", "evidence", name="ledger_try_key"),
)

events = Table(
    "events",
    metadata,
    Column("position", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("time", Double, nullable=False),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("body", Text, nullable=False),
    Index(None, "subject", "position"),
    info={"lock": "events"},
    sqlite_autoincrement=True,
)
