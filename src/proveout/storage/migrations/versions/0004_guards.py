"""What guards said of a served request."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("traces", sa.Column("guards", sa.Text))
