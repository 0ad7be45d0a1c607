"""The queue columns of run, gate and callback, and some beside them, have names that say what they hold."""

from alembic import op

revision = "20261202"
down_revision = "20261201"
branch_labels = None
depends_on = None

_RENAMED = {
    "run": {
        "place": "position",
        "lined_up_at": "throttled_at",
        "asked_at": "polled_at",
        "confirm_wanted_at": "confirmation_requested_at",
        "heir_run_id": "successor_run_id",
        "submitted_as": "submitted_as_run_id",
        "audio_key": "dedup_key",
    },
    "gate": {
        "line_until": "queue_until",
        "asked_at": "quota_checked_at",
        "asked_used": "quota_checked_used",
    },
    "callback": {"seen": "times_received", "more": "overflow_count"},
}


# Both databases rename a column in their catalogue alone, with it the indexes and keys that name it.
def upgrade() -> None:
    for table, columns in _RENAMED.items():
        for old, new in columns.items():
            op.execute(f"ALTER TABLE {table} RENAME COLUMN {old} TO {new}")


def downgrade() -> None:
    for table, columns in _RENAMED.items():
        for old, new in columns.items():
            op.execute(f"ALTER TABLE {table} RENAME COLUMN {new} TO {old}")
