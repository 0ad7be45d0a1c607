"""Which schema this code needs, and which one a database has. What brings it from one to the other is in `migrate`.

Read without Alembic, which a process that serves has no other use for.
"""

import re
from functools import cache
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from service.kit.errors import RelayError

_STEPS = Path(__file__).resolve().parents[3] / "migrations" / "versions"
_NAMED = re.compile(r'^(revision|down_revision)\b[^=\n]*= *(?:"(\w+)"|None) *$', re.MULTILINE)


class MigrationBlocked(RelayError):  # noqa: N818 - it says what happened
    """A transaction of others held a table for as long as a step could wait for it."""


class SchemaUnknown(RelayError):  # noqa: N818 - it says what is the matter
    """The database is at a revision that this code does not have."""


@cache
def _steps() -> dict[str, str]:
    """Return each revision this code has, and the one before it: empty for the first."""
    found = (dict(_NAMED.findall(path.read_text(encoding="utf-8"))) for path in _STEPS.glob("*.py"))
    return {step["revision"]: step["down_revision"] for step in found}


def head_revision() -> str:
    """Return the newest revision this code knows."""
    (head,) = _steps().keys() - set(_steps().values())
    return head


def is_known(revision: str) -> tuple[bool, bool]:
    """Return whether this code knows the revision at all, and whether it is its newest."""
    return revision in _steps(), revision == head_revision()


def revision_in(connection: Connection) -> str | None:
    """Return the revision of the database behind `connection`; `None` where it was never migrated."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return found
