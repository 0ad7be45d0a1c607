"""What an API key is for, in its owner's words."""

import sqlalchemy as sa
from alembic import op

revision = "20261201"
down_revision = "20261130"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("api_key", sa.Column("label", sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column("api_key", "label")
