"""Runs whose followers are to learn of their end are found by an index, built while others go on."""

from service.kit.schema.indexes import build_index, drop_index

revision = "20261204"
down_revision = "20261203"
branch_labels = None
depends_on = None


def upgrade() -> None:
    build_index("ix_run_followers_due", "run", ["followers_due_at"], where="followers_due_at IS NOT NULL")


def downgrade() -> None:
    drop_index("ix_run_followers_due", "run")
