"""Rollouts, the audit trail, leases, errands, incidents and the failures that they kept."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

key = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
position = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "rollouts",
        sa.Column("id", key, nullable=False),
        sa.Column("environment", key, nullable=False),
        sa.Column("service", key, nullable=False),
        sa.Column("change", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("started", sa.Double, nullable=False),
        sa.Column("updated", sa.Double, nullable=False),
        sa.Column("entry", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="rollouts_pkey"),
    )
    op.create_index("rollouts_environment_service_id_idx", "rollouts", ["environment", "service", "id"])
    op.create_table(
        "audit",
        sa.Column("position", position, nullable=False),
        sa.Column("time", sa.Double, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("position", name="audit_pkey"),
        sa.UniqueConstraint("hash", name="audit_hash_key"),
        sqlite_autoincrement=True,
    )
    op.create_index("audit_subject_position_idx", "audit", ["subject", "position"])
    op.create_table(
        "leases",
        sa.Column("name", key, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("until", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("name", name="leases_pkey"),
    )
    op.create_table(
        "errands",
        sa.Column("id", key, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("due", sa.Double, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("done", sa.Double),
        sa.Column("result", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="errands_pkey"),
    )
    op.create_index("errands_done_due_idx", "errands", ["done", "due"])
    op.create_table(
        "incidents",
        sa.Column("id", key, nullable=False),
        sa.Column("environment", sa.Text, nullable=False),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("variant", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("evidence", sa.Text, nullable=False),
        sa.Column("opened", sa.Double, nullable=False),
        sa.Column("closed", sa.Double),
        sa.PrimaryKeyConstraint("id", name="incidents_pkey"),
    )
    op.create_index("incidents_service_opened_idx", "incidents", ["service", "opened"])
    op.create_table(
        "failures",
        sa.Column("trace", key, nullable=False),
        sa.Column("signal", key, nullable=False),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("variant", sa.Text, nullable=False),
        sa.Column("incident", sa.Text, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("trace", "signal", name="failures_pkey"),
    )
    op.create_index("failures_service_created_idx", "failures", ["service", "created"])
