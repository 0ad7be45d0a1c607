"""Followers learn of their leader's end after it has committed; whole answers that refuse a submission are counted."""

import sqlalchemy as sa
from alembic import op

revision = "20261203"
down_revision = "20261202"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("run", sa.Column("refusals", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("run", sa.Column("followers_due_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("run", "followers_due_at")
    op.drop_column("run", "refusals")
