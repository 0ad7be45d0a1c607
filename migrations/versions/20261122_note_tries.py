"""An observation may be a try to hand a run to its vendor; it keeps the words of a refusal what is next."""

import sqlalchemy as sa
from alembic import op

revision = "20261122"
down_revision = "20261121"
branch_labels = None
depends_on = None

TEXT = sa.String()
INTEGER = sa.Integer()
TIME = sa.DateTime(timezone=True)

_COLUMNS = (
    ("reason_text", TEXT),
    ("outcome", TEXT),
    ("left_at", TIME),
    ("retry_after_seconds", INTEGER),
    ("next_at", TIME),
)


def upgrade() -> None:
    for name, kind in _COLUMNS:
        op.add_column("observation", sa.Column(name, kind, nullable=True))


def downgrade() -> None:
    op.execute("DELETE FROM observation WHERE outcome IS NOT NULL")  # the code of then knows no tries
    for name, _ in reversed(_COLUMNS):
        op.drop_column("observation", name)
