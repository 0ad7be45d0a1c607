"""What was seen of runs, and deliveries that ended, are found by their age."""

from service.kit.schema.indexes import build_index, drop_index

revision = "20261130"
down_revision = "20261129"
branch_labels = None
depends_on = None


def upgrade() -> None:
    build_index("ix_observation_at", "observation", ["at"])
    build_index("ix_delivery_ended", "delivery", ["ended_at"], where="ended_at IS NOT NULL")


def downgrade() -> None:
    drop_index("ix_delivery_ended", "delivery")
    drop_index("ix_observation_at", "observation")
