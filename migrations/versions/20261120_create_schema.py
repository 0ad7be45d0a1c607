"""The tables of asking: what each is for stands in the rooms' `models.py`.

Written out, and not taken from the models: those go on changing, this step stays as it was.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "20261120"
down_revision = None
branch_labels = None
depends_on = None

TEXT = sa.String()
TIME = sa.DateTime(timezone=True)
BYTES = sa.LargeBinary()
INTEGER = sa.Integer()
NUMBER = sa.Float()
YES_NO = sa.Boolean()
# A key that counts itself: on SQLite only INTEGER is the rowid.
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

TABLES = (
    "account",
    "audit",
    "idempotency",
    "api_key",
    "media",
    "media_chunk",
    "detection",
    "observation",
    "raw_body",
    "revision",
    "run",
    "callback",
    "callback_address",
    "gate",
    "worker",
)


def upgrade() -> None:
    _create_account()
    _create_audit()
    _create_idempotency()
    _create_api_key()
    _create_media()
    _create_media_chunk()
    _create_detection()
    _create_observation()
    _create_raw_body()
    _create_revision()
    _create_run()
    _create_callback()
    _create_callback_address()
    _create_gate()
    _create_worker()


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table)


def _columns(kind: sa.types.TypeEngine[Any], *names: str, null: bool = False) -> list[sa.Column[Any]]:
    return [sa.Column(name, kind, nullable=null) for name in names]


def _index(name: str, table: str, *columns: str, where: str | None = None) -> None:
    predicate = None if where is None else sa.text(where)
    op.create_index(name, table, list(columns), postgresql_where=predicate, sqlite_where=predicate)


def _create_account() -> None:
    op.create_table(
        "account",
        *_columns(TEXT, "id", "name"),
        *_columns(TIME, "created_at"),
        sa.PrimaryKeyConstraint("id", name="pk_account"),
        sa.UniqueConstraint("name", name="uq_account_name"),
    )


def _create_audit() -> None:
    op.create_table(
        "audit",
        *_columns(SERIAL, "id"),
        *_columns(TEXT, "account_id", "mode", null=True),
        *_columns(TEXT, "actor", "action", "subject"),
        *_columns(TIME, "at"),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    _index("ix_audit_account_id", "audit", "account_id")


def _create_idempotency() -> None:
    op.create_table(
        "idempotency",
        *_columns(SERIAL, "id"),
        *_columns(TEXT, "account_id", "mode", "route", "key", "fingerprint"),
        *_columns(INTEGER, "status"),
        *_columns(BYTES, "answer"),
        *_columns(TIME, "expires_at"),
        sa.PrimaryKeyConstraint("id", name="pk_idempotency"),
        sa.UniqueConstraint("account_id", "mode", "route", "key", name="uq_idempotency_account_id_mode_route_key"),
    )
    _index("ix_idempotency_expires_at", "idempotency", "expires_at")


def _create_api_key() -> None:
    op.create_table(
        "api_key",
        *_columns(TEXT, "id", "account_id", "mode", "sha256", "prefix", "last_four", "scopes"),
        *_columns(TIME, "created_at"),
        *_columns(TIME, "expires_at", "revoked_at", "last_used_at", null=True),
        sa.PrimaryKeyConstraint("id", name="pk_api_key"),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name="fk_api_key_account_id"),
        sa.UniqueConstraint("sha256", name="uq_api_key_sha256"),
    )
    _index("ix_api_key_account_id", "api_key", "account_id")


def _create_media() -> None:
    op.create_table(
        "media",
        *_columns(TEXT, "id", "account_id", "mode", "sha256", "name_key"),
        *_columns(INTEGER, "bytes"),
        *_columns(TEXT, "name", "format", "content_type"),
        *_columns(INTEGER, "duration_ms", null=True),
        *_columns(TIME, "created_at"),
        *_columns(TIME, "delete_after", "erased_at", null=True),
        sa.PrimaryKeyConstraint("id", name="pk_media"),
        sa.UniqueConstraint(
            "account_id", "mode", "sha256", "name_key", name="uq_media_account_id_mode_sha256_name_key"
        ),
    )
    _index("ix_media_delete_after", "media", "delete_after")


def _create_media_chunk() -> None:
    op.create_table(
        "media_chunk",
        *_columns(TEXT, "media_id"),
        *_columns(INTEGER, "n"),
        *_columns(BYTES, "data"),
        sa.PrimaryKeyConstraint("media_id", "n", name="pk_media_chunk"),
    )


def _create_detection() -> None:
    op.create_table(
        "detection",
        *_columns(TEXT, "id", "account_id", "mode"),
        *_columns(TIME, "created_at"),
        *_columns(TEXT, "external_id", null=True),
        *_columns(TEXT, "metadata_json"),
        *_columns(TEXT, "declared_json", null=True),
        *_columns(TEXT, "rule"),
        *_columns(INTEGER, "quorum"),
        *_columns(YES_NO, "force"),
        *_columns(TEXT, "status"),
        *_columns(INTEGER, "revision"),
        *_columns(TEXT, "verdict", "outcome_reason", null=True),
        *_columns(TIME, "completed_at", null=True),
        *_columns(TIME, "answer_by_at", "deadline_at"),
        *_columns(TEXT, "source_url", null=True),
        *_columns(TEXT, "source_name", "source_state"),
        *_columns(INTEGER, "source_tries"),
        *_columns(TIME, "source_ended_at", null=True),
        *_columns(TEXT, "media_id", null=True),
        *_columns(TIME, "due_at", null=True),
        *_columns(TEXT, "lease_token", null=True),
        *_columns(INTEGER, "round"),
        *_columns(TIME, "rechecked_at", "delay_due_at", "delayed_at", "erased_at", null=True),
        sa.PrimaryKeyConstraint("id", name="pk_detection"),
    )
    _index("ix_detection_delay", "detection", "delay_due_at", where="delay_due_at IS NOT NULL")
    _index("ix_detection_external", "detection", "account_id", "external_id")
    _index("ix_detection_list", "detection", "account_id", "mode", "created_at", "id")
    _index("ix_detection_media_id", "detection", "media_id")
    _index("ix_detection_open", "detection", "answer_by_at", where="completed_at IS NULL")
    _index("ix_detection_source_due", "detection", "due_at", where="source_state = 'due'")
    _index("ix_detection_unerased", "detection", "completed_at", where="erased_at IS NULL")


def _create_observation() -> None:
    op.create_table(
        "observation",
        *_columns(SERIAL, "id"),
        *_columns(TEXT, "run_id"),
        *_columns(INTEGER, "n"),
        *_columns(TEXT, "via"),
        *_columns(TIME, "at"),
        *_columns(TEXT, "effect"),
        *_columns(INTEGER, "http_status", null=True),
        *_columns(TEXT, "callback_id", "reading", "refusal", "body_sha256", "content_type", null=True),
        sa.PrimaryKeyConstraint("id", name="pk_observation"),
        sa.UniqueConstraint("run_id", "n", name="uq_observation_run_id_n"),
    )


def _create_raw_body() -> None:
    op.create_table(
        "raw_body",
        *_columns(TEXT, "owner_id", "sha256"),
        *_columns(BYTES, "body"),
        *_columns(TEXT, "content_type"),
        *_columns(TIME, "created_at"),
        sa.PrimaryKeyConstraint("owner_id", "sha256", name="pk_raw_body"),
    )
    _index("ix_raw_body_created_at", "raw_body", "created_at")


def _create_revision() -> None:
    op.create_table(
        "revision",
        *_columns(TEXT, "detection_id"),
        *_columns(INTEGER, "n"),
        *_columns(TEXT, "verdict", "status", "result"),
        *_columns(TIME, "created_at"),
        sa.PrimaryKeyConstraint("detection_id", "n", name="pk_revision"),
        sa.ForeignKeyConstraint(["detection_id"], ["detection.id"], name="fk_revision_detection_id"),
    )


def _create_run() -> None:
    op.create_table(
        "run",
        *_columns(TEXT, "id", "detection_id"),
        *_columns(INTEGER, "round", "place"),
        *_columns(TEXT, "account_id", "mode", "vendor", "detector"),
        *_columns(TEXT, "tier", null=True),
        *_columns(TEXT, "state"),
        *_columns(TIME, "created_at", "deadline_at"),
        *_columns(TIME, "due_at", null=True),
        *_columns(TEXT, "lease_token", "leader_key", "follows_run_id", "prepared_ref", null=True),
        *_columns(TIME, "submit_started_at", "submitted_at", null=True),
        *_columns(INTEGER, "submit_tries"),
        *_columns(YES_NO, "resubmitted"),
        *_columns(TEXT, "vendor_job_id", null=True),
        *_columns(TEXT, "refs_json"),
        *_columns(INTEGER, "media_fetches", "polls", "confirmations"),
        *_columns(TIME, "asked_at", "confirm_wanted_at", null=True),
        *_columns(TEXT, "callback_authenticity", "reason_code", "reason_text", null=True),
        *_columns(YES_NO, "retryable"),
        *_columns(TEXT, "waiting_for", "last_refusal", "via", "authenticity", null=True),
        *_columns(YES_NO, "confirmed_by_fetch"),
        *_columns(INTEGER, "observation_n", null=True),
        *_columns(TIME, "answered_at", "ended_at", null=True),
        sa.PrimaryKeyConstraint("id", name="pk_run"),
        sa.ForeignKeyConstraint(["detection_id"], ["detection.id"], name="fk_run_detection_id"),
        sa.UniqueConstraint("account_id", "mode", "leader_key", name="uq_run_account_id_mode_leader_key"),
        sa.UniqueConstraint("detection_id", "round", "place", name="uq_run_detection_id_round_place"),
        sa.UniqueConstraint("mode", "vendor", "vendor_job_id", name="uq_run_mode_vendor_vendor_job_id"),
    )
    _index("ix_run_dispatch", "run", "due_at", where="state IN ('queued', 'unknown')")
    _index("ix_run_follows_run_id", "run", "follows_run_id")
    _index("ix_run_poll", "run", "due_at", where="state IN ('waiting', 'timed_out') AND due_at IS NOT NULL")
    _index("ix_run_unfinished", "run", "deadline_at", where="ended_at IS NULL")


def _create_callback() -> None:
    op.create_table(
        "callback",
        *_columns(TEXT, "id", "mode", "vendor", "subject"),
        *_columns(TEXT, "job_id", null=True),
        *_columns(TEXT, "body_sha256"),
        *_columns(BYTES, "body"),
        *_columns(TEXT, "headers_json", "authenticity", "state"),
        *_columns(TEXT, "note", "run_id", null=True),
        *_columns(TIME, "received_at"),
        *_columns(INTEGER, "seen", "more", "tries"),
        *_columns(TIME, "due_at", null=True),
        *_columns(TEXT, "lease_token", null=True),
        *_columns(TIME, "expires_at", null=True),
        sa.PrimaryKeyConstraint("id", name="pk_callback"),
        sa.UniqueConstraint(
            "mode", "vendor", "subject", "body_sha256", name="uq_callback_mode_vendor_subject_body_sha256"
        ),
    )
    _index("ix_callback_due", "callback", "due_at", where="state = 'due'")
    _index("ix_callback_run_id", "callback", "run_id")
    _index("ix_callback_set_aside", "callback", "received_at", where="state IN ('quarantined', 'ignored')")
    _index("ix_callback_settled", "callback", "received_at", where="state IN ('applied', 'late', 'conflict', 'stuck')")
    _index("ix_callback_state", "callback", "vendor", "state", "received_at")


def _create_callback_address() -> None:
    op.create_table(
        "callback_address",
        *_columns(TEXT, "id", "mode", "vendor", "token_sha256"),
        *_columns(BYTES, "sealed_token"),
        *_columns(TIME, "created_at"),
        *_columns(TIME, "valid_until", null=True),
        sa.PrimaryKeyConstraint("id", name="pk_callback_address"),
        sa.UniqueConstraint("token_sha256", name="uq_callback_address_token_sha256"),
    )


def _create_gate() -> None:
    op.create_table(
        "gate",
        *_columns(TEXT, "vendor", "mode"),
        *_columns(NUMBER, "tokens"),
        *_columns(TIME, "refilled_at"),
        *_columns(TIME, "window_started_at", null=True),
        *_columns(INTEGER, "window_used"),
        *_columns(INTEGER, "quota_left", null=True),
        *_columns(TIME, "resets_at", null=True),
        *_columns(TEXT, "circuit"),
        *_columns(TIME, "circuit_until", null=True),
        sa.PrimaryKeyConstraint("vendor", "mode", name="pk_gate"),
    )


def _create_worker() -> None:
    op.create_table(
        "worker",
        *_columns(TEXT, "id", "kind"),
        *_columns(TIME, "started_at", "heartbeat_at"),
        *_columns(TEXT, "counts_json"),
        sa.PrimaryKeyConstraint("id", name="pk_worker"),
    )
    _index("ix_worker_heartbeat_at", "worker", "heartbeat_at")
