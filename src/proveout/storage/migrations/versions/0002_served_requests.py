"""Releases, traces with their contents, and feedback: what a gateway is told, and what it tells."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

key = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
position = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "releases",
        sa.Column("environment", key, nullable=False),
        sa.Column("service", key, nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("champion", sa.Text, nullable=False),
        sa.Column("weights", sa.Text, nullable=False),
        sa.Column("shadow", sa.Text, nullable=False),
        sa.Column("fallback", sa.Text, nullable=False),
        sa.Column("change", sa.Text, nullable=False),
        sa.Column("step", sa.Text, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("environment", "service", "epoch", name="releases_pkey"),
    )
    op.create_table(
        "traces",
        sa.Column("position", position, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("environment", sa.Text, nullable=False),
        sa.Column("operation", sa.Text, nullable=False),
        sa.Column("started", sa.Double, nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("step", sa.Text, nullable=False),
        sa.Column("chosen", sa.Text, nullable=False),
        sa.Column("propensity", sa.Double, nullable=False),
        sa.Column("variant", sa.Text, nullable=False),
        sa.Column("variant_name", sa.Text, nullable=False),
        sa.Column("unit", sa.Text),
        sa.Column("status", sa.SmallInteger, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("finish", sa.Text),
        sa.Column("streamed", sa.Boolean, nullable=False),
        sa.Column("e2e", sa.Double, nullable=False),
        sa.Column("ttft", sa.Double),
        sa.Column("stall", sa.Double),
        sa.Column("reads", sa.Integer, nullable=False),
        sa.Column("input_tokens", sa.Integer),
        sa.Column("output_tokens", sa.Integer),
        sa.Column("cached_tokens", sa.Integer),
        sa.Column("cost_usd", sa.Double),
        sa.Column("attempts", sa.SmallInteger, nullable=False),
        sa.Column("cached", sa.Boolean, nullable=False),
        sa.Column("valid", sa.Boolean),
        sa.Column("refused", sa.Boolean),
        sa.Column("shadow_of", sa.Text),
        sa.Column("parent", sa.Text),
        sa.Column("client", sa.Text),
        sa.PrimaryKeyConstraint("position", name="traces_pkey"),
        sa.UniqueConstraint("id", name="traces_id_key"),
        sqlite_autoincrement=True,
    )
    op.create_index("traces_service_started_idx", "traces", ["service", "started"])
    op.create_table(
        "trace_contents",
        sa.Column("trace", key, nullable=False),
        sa.Column("request", sa.Text, nullable=False),
        sa.Column("answer", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("trace", name="trace_contents_pkey"),
    )
    op.create_table(
        "feedback",
        sa.Column("position", position, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("trace", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("score", sa.Double),
        sa.Column("comment", sa.Text),
        sa.Column("created", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("position", name="feedback_pkey"),
        sa.UniqueConstraint("id", name="feedback_id_key"),
        sqlite_autoincrement=True,
    )
    op.create_index("feedback_trace_idx", "feedback", ["trace"])
