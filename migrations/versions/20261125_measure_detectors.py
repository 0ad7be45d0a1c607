"""What a detector's last runs have shown, found by an index; since when a vendor fails, and how."""

import sqlalchemy as sa
from alembic import op

revision = "20261125"
down_revision = "20261124"
branch_labels = None
depends_on = None

ANSWERED = sa.text("state IN ('succeeded', 'not_applicable') AND via <> 'reuse'")


def upgrade() -> None:
    op.create_index(
        "ix_run_measured",
        "run",
        ["mode", "detector", "answered_at"],
        postgresql_where=ANSWERED,
        sqlite_where=ANSWERED,
    )
    op.add_column("gate", sa.Column("failing_since", sa.DateTime(timezone=True), nullable=True))
    op.add_column("gate", sa.Column("last_error", sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column("gate", "last_error")
    op.drop_column("gate", "failing_since")
    op.drop_index("ix_run_measured", "run")
