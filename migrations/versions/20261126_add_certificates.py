"""Certificates of analyses; when a vendor was last asked what is left of its quota."""

import sqlalchemy as sa
from alembic import op

revision = "20261126"
down_revision = "20261125"
branch_labels = None
depends_on = None

TEXT = sa.String()
TIME = sa.DateTime(timezone=True)
ANNOUNCED = sa.text("state = 'announced'")


def upgrade() -> None:
    op.create_table(
        "certificate",
        sa.Column("id", TEXT, nullable=False),
        *(
            sa.Column(name, TEXT, nullable=False)
            for name in ("detection_id", "run_id", "account_id", "mode", "vendor", "detector", "state", "format")
        ),
        *(
            sa.Column(name, TEXT, nullable=True)
            for name in ("analysis_id", "certificate_id", "verification_url", "download_url")
        ),
        *(sa.Column(name, TIME, nullable=True) for name in ("expires_at", "issued_at", "ready_at")),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("due_at", TIME, nullable=True),
        sa.Column("lease_token", TEXT, nullable=True),
        sa.ForeignKeyConstraint(["detection_id"], ["detection.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("mode", "vendor", "certificate_id"),
    )
    op.create_index("ix_certificate_detection_id", "certificate", ["detection_id"])
    op.create_index(
        "ix_certificate_announced", "certificate", ["due_at"], postgresql_where=ANNOUNCED, sqlite_where=ANNOUNCED
    )
    op.add_column("gate", sa.Column("asked_at", TIME, nullable=True))
    op.add_column("gate", sa.Column("asked_used", sa.Integer(), nullable=True))


def downgrade() -> None:
    op.drop_column("gate", "asked_used")
    op.drop_column("gate", "asked_at")
    op.drop_index("ix_certificate_announced", "certificate")
    op.drop_index("ix_certificate_detection_id", "certificate")
    op.drop_table("certificate")
