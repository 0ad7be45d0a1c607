"""What an account's audio comes to is summed up from indexes alone."""

from service.kit.schema.indexes import build_index, drop_index

revision = "20261129"
down_revision = "20261128"
branch_labels = None
depends_on = None


def upgrade() -> None:
    build_index("ix_media_came", "media", ["account_id", "created_at", "bytes"])
    build_index("ix_media_kept", "media", ["account_id", "bytes"], where="erased_at IS NULL")


def downgrade() -> None:
    for name in ("ix_media_kept", "ix_media_came"):
        drop_index(name, "media")
