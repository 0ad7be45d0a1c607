"""Telling a connection that was lost from a statement that was wrong."""

from sqlalchemy.exc import DBAPIError

# PostgreSQL manual, appendix A: connection exceptions, and the server's shutting down or starting up.
_CLASSES = ("08", "57P")


def is_lost(error: DBAPIError) -> bool:
    """Return True if the database went away: what was to be written may be tried again over another connection."""
    state = getattr(error.orig, "sqlstate", None) or ""
    return error.connection_invalidated or state.startswith(_CLASSES)
