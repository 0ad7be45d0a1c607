"""Spending: what a gate has heard, the ledger, budgets, and the line of runs before a gate."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "20261123"
down_revision = "20261122"
branch_labels = None
depends_on = None

TEXT = sa.String()
TIME = sa.DateTime(timezone=True)
INTEGER = sa.Integer()
BIG = sa.BigInteger()
# A key that counts itself: on SQLite only INTEGER is the rowid.
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _extend_gate()
    op.add_column("run", sa.Column("lined_up_at", TIME, nullable=True))  # its indexes: a later step
    _create_ledger()
    _create_budget()


def downgrade() -> None:
    op.drop_table("budget")
    op.drop_table("ledger")
    op.drop_index("ix_run_under_way", "run", if_exists=True)
    op.drop_index("ix_run_line", "run", if_exists=True)
    op.drop_column("run", "lined_up_at")
    op.drop_table("gate")
    _create_gate(
        sa.Column("tokens", sa.Float(), nullable=False),
        sa.Column("refilled_at", TIME, nullable=False),
    )


def _extend_gate() -> None:
    """Made anew: it holds counts of a minute or a day, which begin again, and so far nothing was counted."""
    op.drop_table("gate")
    _create_gate(
        sa.Column("minute_json", TEXT, nullable=False),
        sa.Column("closed_until", TIME, nullable=True),
        sa.Column("closed_for", TEXT, nullable=True),
        sa.Column("failures", INTEGER, nullable=False),
        sa.Column("opened", INTEGER, nullable=False),
        sa.Column("line_until", TIME, nullable=True),
    )


def _create_gate(*more: sa.Column[Any]) -> None:
    op.create_table(
        "gate",
        sa.Column("vendor", TEXT, nullable=False),
        sa.Column("mode", TEXT, nullable=False),
        sa.Column("window_started_at", TIME, nullable=True),
        sa.Column("window_used", INTEGER, nullable=False),
        sa.Column("quota_left", INTEGER, nullable=True),
        sa.Column("resets_at", TIME, nullable=True),
        sa.Column("circuit", TEXT, nullable=False),
        sa.Column("circuit_until", TIME, nullable=True),
        *more,
        sa.PrimaryKeyConstraint("vendor", "mode", name="pk_gate"),
    )


def _create_ledger() -> None:
    op.create_table(
        "ledger",
        sa.Column("id", SERIAL, nullable=False),
        *(sa.Column(name, TEXT, nullable=False) for name in ("account_id", "mode", "detection_id", "run_id")),
        sa.Column("detector", TEXT, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("amount_micros", BIG, nullable=True),
        sa.Column("currency", TEXT, nullable=True),
        sa.Column("basis", TEXT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("billed", sa.Boolean(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_ledger"),
    )
    op.create_index("ix_ledger_account", "ledger", ["account_id", "mode", "at"])
    op.create_index("ix_ledger_run_id", "ledger", ["run_id"])


def _create_budget() -> None:
    op.create_table(
        "budget",
        sa.Column("account_id", TEXT, nullable=False),
        sa.Column("mode", TEXT, nullable=False),
        sa.Column("currency", TEXT, nullable=False),
        sa.Column("amount_micros", BIG, nullable=False),
        sa.Column("changed_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("account_id", "mode", "currency", name="pk_budget"),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name="fk_budget_account_id"),
    )
