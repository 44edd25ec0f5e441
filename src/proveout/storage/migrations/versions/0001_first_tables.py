"""Calls, runs, outcomes, the ledger and events."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

key = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "calls",
        sa.Column("key", sa.LargeBinary, nullable=False),
        sa.Column("generation", sa.LargeBinary, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("key", name="calls_pkey"),
    )
    op.create_table(
        "runs",
        sa.Column("id", key, nullable=False),
        sa.Column("change", sa.Text, nullable=False),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("stage", sa.Text, nullable=False),
        sa.Column("champion", sa.Text, nullable=False),
        sa.Column("challenger", sa.Text, nullable=False),
        sa.Column("started", sa.Double, nullable=False),
        sa.Column("finished", sa.Double),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("scorecard", sa.LargeBinary),
        sa.PrimaryKeyConstraint("id", name="runs_pkey"),
    )
    op.create_index("runs_service_id_idx", "runs", ["service", "id"])
    op.create_table(
        "outcomes",
        sa.Column("run", key, nullable=False),
        sa.Column("example", key, nullable=False),
        sa.Column("repeat", sa.Integer, nullable=False),
        sa.Column("arm", sa.SmallInteger, nullable=False),
        sa.Column("variant", sa.Text, nullable=False),
        sa.Column("call", sa.LargeBinary),
        sa.Column("scores", sa.Text, nullable=False),
        sa.Column("answer", sa.Text, nullable=False),
        sa.Column("failure", sa.Text),
        sa.PrimaryKeyConstraint("run", "example", "repeat", "arm", name="outcomes_pkey"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "ledger",
        sa.Column("dataset_version", key, nullable=False),
        sa.Column("objective", key, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("metric", sa.Text, nullable=False),
        sa.Column("champion", sa.Text, nullable=False),
        sa.Column("challenger", sa.Text, nullable=False),
        sa.Column("evidence", sa.Text, nullable=False),
        sa.Column("level", sa.Double, nullable=False),
        sa.Column("p_value", sa.Double),
        sa.Column("rejected", sa.Boolean),
        sa.Column("run", sa.Text, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("dataset_version", "objective", "attempt", name="ledger_pkey"),
        sa.UniqueConstraint(
            "dataset_version", "objective", "champion", "challenger", "evidence", name="ledger_try_key"
        ),
    )
    op.create_table(
        "events",
        sa.Column("position", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("time", sa.Double, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("position", name="events_pkey"),
        sa.UniqueConstraint("id", name="events_id_key"),
        sqlite_autoincrement=True,
    )
    op.create_index("events_subject_position_idx", "events", ["subject", "position"])
