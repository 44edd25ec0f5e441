"""The tables. A change here needs a migration beside it; a test compares the two on both databases, and both with
what `rows` and the records say."""

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
    sqlite_autoincrement=True,
)

releases = Table(
    "releases",
    metadata,
    Column("environment", Key, primary_key=True),
    Column("service", Key, primary_key=True),
    Column("epoch", Integer, primary_key=True),
    Column("champion", Text, nullable=False),
    Column("weights", Text, nullable=False),
    Column("shadow", Text, nullable=False),
    Column("fallback", Text, nullable=False),
    Column("change", Text, nullable=False),
    Column("step", Text, nullable=False),
    Column("created", Double, nullable=False),
)

traces = Table(
    "traces",
    metadata,
    Column("position", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("service", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("operation", Text, nullable=False),
    Column("started", Double, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("step", Text, nullable=False),
    Column("chosen", Text, nullable=False),
    Column("propensity", Double, nullable=False),
    Column("variant", Text, nullable=False),
    Column("variant_name", Text, nullable=False),
    Column("unit", Text),
    Column("status", SmallInteger, nullable=False),
    Column("error", Text),
    Column("finish", Text),
    Column("streamed", Boolean, nullable=False),
    Column("e2e", Double, nullable=False),
    Column("ttft", Double),
    Column("stall", Double),
    Column("reads", Integer, nullable=False),
    Column("input_tokens", Integer),
    Column("output_tokens", Integer),
    Column("cached_tokens", Integer),
    Column("cost_usd", Double),
    Column("attempts", SmallInteger, nullable=False),
    Column("cached", Boolean, nullable=False),
    Column("valid", Boolean),
    Column("refused", Boolean),
    Column("shadow_of", Text),
    Column("parent", Text),
    Column("client", Text),
    Column("guards", Text),
    Index(None, "service", "started"),
    sqlite_autoincrement=True,
)

trace_contents = Table(
    "trace_contents",
    metadata,
    Column("trace", Key, primary_key=True),
    Column("request", Text, nullable=False),
    Column("answer", Text, nullable=False),
)

feedback = Table(
    "feedback",
    metadata,
    Column("position", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("trace", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("score", Double),
    Column("comment", Text),
    Column("created", Double, nullable=False),
    Index(None, "trace"),
    sqlite_autoincrement=True,
)

rollouts = Table(
    "rollouts",
    metadata,
    Column("id", Key, primary_key=True),
    Column("environment", Key, nullable=False),
    Column("service", Key, nullable=False),
    Column("change", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("started", Double, nullable=False),
    Column("updated", Double, nullable=False),
    Column("entry", Text, nullable=False),
    Column("body", Text, nullable=False),
    Index(None, "environment", "service", "id"),
)

audit = Table(
    "audit",
    metadata,
    Column("position", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("time", Double, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("hash", Text, nullable=False, unique=True),
    Index(None, "subject", "position"),
    sqlite_autoincrement=True,
)

leases = Table(
    "leases",
    metadata,
    Column("name", Key, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("until", Double, nullable=False),
)

errands = Table(
    "errands",
    metadata,
    Column("id", Key, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("created", Double, nullable=False),
    Column("due", Double, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("done", Double),
    Column("result", Text, nullable=False),
    Index(None, "done", "due"),
)

incidents = Table(
    "incidents",
    metadata,
    Column("id", Key, primary_key=True),
    Column("environment", Text, nullable=False),
    Column("service", Text, nullable=False),
    Column("variant", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("evidence", Text, nullable=False),
    Column("opened", Double, nullable=False),
    Column("closed", Double),
    Index(None, "service", "opened"),
)

failures = Table(
    "failures",
    metadata,
    Column("trace", Key, primary_key=True),
    Column("signal", Key, primary_key=True),
    Column("service", Text, nullable=False),
    Column("variant", Text, nullable=False),
    Column("incident", Text, nullable=False),
    Column("created", Double, nullable=False),
    Index(None, "service", "created"),
)
