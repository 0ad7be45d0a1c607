"""The limit that a vendor says its quota has."""

import sqlalchemy as sa
from alembic import op

revision = "20261127"
down_revision = "20261126"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("gate", sa.Column("quota_limit", sa.Integer(), nullable=True))


def downgrade() -> None:
    op.drop_column("gate", "quota_limit")
