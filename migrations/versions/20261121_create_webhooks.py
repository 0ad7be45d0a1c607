"""The tables of telling: what each is for stands in the rooms' `models.py`.

Written out, and not taken from the models: those go on changing, this step stays as it was.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "20261121"
down_revision = "20261120"
branch_labels = None
depends_on = None

TEXT = sa.String()
TIME = sa.DateTime(timezone=True)
BYTES = sa.LargeBinary()
INTEGER = sa.Integer()
YES_NO = sa.Boolean()
BIG = sa.BigInteger()
# A key that counts itself: on SQLite only INTEGER is the rowid.
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

TABLES = (
    "event",
    "attempt",
    "delivery",
    "endpoint",
    "signing_key",
    "endpoint_secret",
)


def upgrade() -> None:
    _create_event()
    _create_attempt()
    _create_delivery()
    _create_endpoint()
    _create_signing_key()
    _create_endpoint_secret()


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table)


def _columns(kind: sa.types.TypeEngine[Any], *names: str, null: bool = False) -> list[sa.Column[Any]]:
    return [sa.Column(name, kind, nullable=null) for name in names]


def _index(name: str, table: str, *columns: str, where: str | None = None) -> None:
    predicate = None if where is None else sa.text(where)
    op.create_index(name, table, list(columns), postgresql_where=predicate, sqlite_where=predicate)


def _create_event() -> None:
    op.create_table(
        "event",
        *_columns(SERIAL, "position"),
        *_columns(TEXT, "id", "account_id", "mode", "type"),
        *_columns(TEXT, "detection_id", "run_id", null=True),
        *_columns(INTEGER, "revision", "final_revision", null=True),
        *_columns(BYTES, "body"),
        *_columns(TIME, "created_at"),
        *_columns(BIG, "transaction_id"),
        sa.PrimaryKeyConstraint("position", name="pk_event"),
        sa.UniqueConstraint(
            "account_id",
            "mode",
            "detection_id",
            "final_revision",
            name="uq_event_account_id_mode_detection_id_final_revision",
        ),
        sa.UniqueConstraint("id", name="uq_event_id"),
    )
    _index("ix_event_detection_id", "event", "detection_id")
    _index("ix_event_feed", "event", "account_id", "mode", "transaction_id", "position")


def _create_attempt() -> None:
    op.create_table(
        "attempt",
        *_columns(TEXT, "id", "delivery_id", "endpoint_id"),
        *_columns(INTEGER, "n"),
        *_columns(TIME, "started_at"),
        *_columns(INTEGER, "status_code", null=True),
        *_columns(TEXT, "error_class", null=True),
        *_columns(TEXT, "phases_json"),
        *_columns(BYTES, "response_excerpt", null=True),
        *_columns(TEXT, "explanation"),
        sa.PrimaryKeyConstraint("id", name="pk_attempt"),
        sa.UniqueConstraint("delivery_id", "n", name="uq_attempt_delivery_id_n"),
    )
    _index("ix_attempt_endpoint", "attempt", "endpoint_id", "started_at")
    _index("ix_attempt_started", "attempt", "started_at")


def _create_delivery() -> None:
    op.create_table(
        "delivery",
        *_columns(TEXT, "id", "account_id", "mode", "endpoint_id", "event_id"),
        *_columns(BIG, "event_position"),
        *_columns(TEXT, "detection_id", null=True),
        *_columns(TEXT, "lane", "state"),
        *_columns(TIME, "due_at", null=True),
        *_columns(TEXT, "lease_token", null=True),
        *_columns(INTEGER, "attempts", "attempts_before"),
        *_columns(TIME, "created_at"),
        *_columns(TIME, "ended_at", null=True),
        sa.PrimaryKeyConstraint("id", name="pk_delivery"),
        sa.UniqueConstraint("endpoint_id", "event_id", name="uq_delivery_endpoint_id_event_id"),
    )
    _index("ix_delivery_account", "delivery", "account_id", "mode", "created_at", "id")
    _index("ix_delivery_blocked", "delivery", "created_at", where="state = 'blocked'")
    _index("ix_delivery_due", "delivery", "lane", "due_at", where="state = 'due'")
    _index("ix_delivery_endpoint", "delivery", "endpoint_id", "created_at", "id")
    _index("ix_delivery_endpoint_due", "delivery", "endpoint_id", "due_at", where="state = 'due'")
    _index("ix_delivery_endpoint_held", "delivery", "endpoint_id", "event_position", where="state = 'held'")
    _index("ix_delivery_order", "delivery", "detection_id", "endpoint_id", "event_position")


def _create_endpoint() -> None:
    op.create_table(
        "endpoint",
        *_columns(TEXT, "id", "account_id", "mode", "url", "events_json"),
        *_columns(TEXT, "description", null=True),
        *_columns(BYTES, "sealed_headers", null=True),
        *_columns(INTEGER, "rate_limit_per_second", null=True),
        *_columns(TEXT, "status"),
        *_columns(TEXT, "disabled_reason", null=True),
        *_columns(TIME, "enabled_at", null=True),
        *_columns(TEXT, "release_choice", null=True),
        *_columns(TIME, "failing_since", null=True),
        *_columns(INTEGER, "failures", "warned_percent"),
        *_columns(YES_NO, "in_trouble"),
        *_columns(TIME, "created_at"),
        *_columns(TIME, "deleted_at", null=True),
        sa.PrimaryKeyConstraint("id", name="pk_endpoint"),
    )
    _index("ix_endpoint_account", "endpoint", "account_id", "mode", "created_at", "id")
    _index("ix_endpoint_failing", "endpoint", "failing_since", where="failing_since IS NOT NULL")


def _create_signing_key() -> None:
    op.create_table(
        "signing_key",
        *_columns(TEXT, "kid", "purpose"),
        *_columns(BYTES, "public"),
        *_columns(BYTES, "sealed_private", null=True),
        *_columns(TIME, "created_at"),
        *_columns(TIME, "retired_at", null=True),
        sa.PrimaryKeyConstraint("kid", name="pk_signing_key"),
    )


def _create_endpoint_secret() -> None:
    op.create_table(
        "endpoint_secret",
        *_columns(TEXT, "id", "endpoint_id"),
        *_columns(BYTES, "sealed"),
        *_columns(TIME, "valid_from"),
        *_columns(TIME, "valid_until", null=True),
        sa.PrimaryKeyConstraint("id", name="pk_endpoint_secret"),
        sa.ForeignKeyConstraint(["endpoint_id"], ["endpoint.id"], name="fk_endpoint_secret_endpoint_id"),
    )
    _index("ix_endpoint_secret_endpoint_id", "endpoint_secret", "endpoint_id")
