"""Since when a vendor fails, and how."""

import sqlalchemy as sa
from alembic import op

revision = "20261125"
down_revision = "20261124"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("gate", sa.Column("failing_since", sa.DateTime(timezone=True), nullable=True))
    op.add_column("gate", sa.Column("last_error", sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column("gate", "last_error")
    op.drop_column("gate", "failing_since")
    op.drop_index("ix_run_measured", "run", if_exists=True)
