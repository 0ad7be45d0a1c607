"""Runs that ask the same share one answer: what they have in common, whom they follow, who takes over."""

import sqlalchemy as sa
from alembic import op

revision = "20261124"
down_revision = "20261123"
branch_labels = None
depends_on = None

TEXT = sa.String()
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("run", sa.Column("audio_key", TEXT, nullable=True))
    op.add_column("run", sa.Column("followed_at", TIME, nullable=True))
    op.add_column("run", sa.Column("heir_run_id", TEXT, nullable=True))
    op.add_column("run", sa.Column("submitted_as", TEXT, nullable=True))


def downgrade() -> None:
    op.drop_index("ix_run_answer", "run", if_exists=True)
    for name in ("audio_key", "followed_at", "heir_run_id", "submitted_as"):
        op.drop_column("run", name)
