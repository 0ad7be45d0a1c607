"""An observation may be a try to hand a run to its vendor, and keeps the words of a refusal."""

import sqlalchemy as sa
from alembic import op

revision = "20261122"
down_revision = "20261121"
branch_labels = None
depends_on = None

TEXT = sa.String()
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    for name, kind in (("reason_text", TEXT), ("outcome", TEXT), ("left_at", TIME)):
        op.add_column("observation", sa.Column(name, kind, nullable=True))


def downgrade() -> None:
    op.execute("DELETE FROM observation WHERE outcome IS NOT NULL")  # the code of then knows no tries
    for name in ("left_at", "outcome", "reason_text"):
        op.drop_column("observation", name)
