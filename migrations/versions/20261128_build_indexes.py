"""The indexes of runs that came after the first version, built while others go on.

The steps that first made them locked the table meanwhile. Where they have run, the indexes are there, and stay.
"""

from service.kit.schema.indexes import build_index, drop_index

revision = "20261128"
down_revision = "20261127"
branch_labels = None
depends_on = None

IN_LINE = "state IN ('queued', 'unknown') AND lined_up_at IS NOT NULL AND lease_token IS NULL"
UNDER_WAY = "(state = 'waiting' OR (state IN ('queued', 'unknown') AND lease_token IS NOT NULL))"
ANSWERED = "state IN ('succeeded', 'not_applicable') AND via <> 'reuse'"


def upgrade() -> None:
    build_index("ix_run_line", "run", ["mode", "vendor", "lined_up_at", "id"], where=IN_LINE)
    build_index("ix_run_under_way", "run", ["mode", "vendor"], where=UNDER_WAY)
    build_index("ix_run_answer", "run", ["account_id", "mode", "audio_key", "ended_at"], where=ANSWERED)
    build_index("ix_run_measured", "run", ["mode", "detector", "answered_at"], where=ANSWERED)


def downgrade() -> None:
    for name in ("ix_run_measured", "ix_run_answer", "ix_run_under_way", "ix_run_line"):
        drop_index(name, "run")
