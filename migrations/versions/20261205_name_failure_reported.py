"""An endpoint's column says what it holds: that its failing was reported to the account."""

from alembic import op

revision = "20261205"
down_revision = "20261204"
branch_labels = None
depends_on = None


# Both databases rename a column in their catalogue alone.
def upgrade() -> None:
    op.execute("ALTER TABLE endpoint RENAME COLUMN in_trouble TO failure_reported")


def downgrade() -> None:
    op.execute("ALTER TABLE endpoint RENAME COLUMN failure_reported TO in_trouble")
