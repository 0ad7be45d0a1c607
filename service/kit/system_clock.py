"""The clock of this machine. Read at the edges of the process only, and handed in."""

from datetime import UTC, datetime


def system_clock() -> datetime:
    """Return the time of this machine, aware, in UTC."""
    return datetime.now(UTC)
