"""Bringing a database to the schema of this code. The steps live in `migrations/`, one file each.

Several processes may start at once, each migrating first: one does the work, the others wait and find it done.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.engine import URL

from service.kit.database import Database, normalise_url
from service.kit.patience import UNHURRIED

_INI = Path(__file__).resolve().parents[2] / "alembic.ini"
_LOCK = 0x52454C4159  # "RELAY": the advisory lock of migrations, and of nothing else


def upgrade(url: str) -> None:
    """The database has the newest schema; a SQLite file and its folder exist. Safe beside other processes."""
    _migrate(url, lambda config: command.upgrade(config, "head"))


def downgrade(url: str, revision: str = "base") -> None:
    """The database has the schema of `revision`; what that one does not know is lost."""
    _migrate(url, lambda config: command.downgrade(config, revision))


def head_revision() -> str:
    """The newest revision this code knows."""
    head = ScriptDirectory.from_config(Config(_INI)).get_current_head()
    if head is None:
        raise LookupError(f"no revisions beside {_INI}")
    return head


def revision_in(connection: Connection) -> str | None:
    """The revision of the database behind `connection`; `None` where it was never migrated."""
    return MigrationContext.configure(connection).get_current_revision()


@cache
def is_known(revision: str) -> tuple[bool, bool]:
    """Whether this code knows the revision at all, and whether it is its newest."""
    known = {step.revision for step in ScriptDirectory.from_config(Config(_INI)).walk_revisions()}
    return revision in known, revision == head_revision()


def current_revision(url: str) -> str | None:
    """The revision the database has; `None` where it was never migrated. Creates no SQLite file."""
    address = normalise_url(url)
    if address.drivername == "sqlite" and not _path(address).exists():
        return None
    with closing(Database(url, patience=UNHURRIED)) as database, database.engine.connect() as connection:
        return revision_in(connection)


def _migrate(url: str, step: Callable[[Config], None]) -> None:
    with _alone(url) as connection:
        config = Config(_INI)
        config.attributes["connection"] = connection
        step(config)


@contextmanager
def _alone(url: str) -> Iterator[Connection]:
    """A transaction in which nobody else migrates this database; it commits at the end."""
    address = normalise_url(url)
    with ExitStack() as stack:
        if address.drivername == "sqlite":
            stack.enter_context(_folder_locked(_path(address).parent))
        database = stack.enter_context(closing(Database(url, patience=UNHURRIED)))
        # relay_writes: on SQLite the transaction begins as a writer, so a running process cannot come between.
        connection = stack.enter_context(database.engine.connect().execution_options(relay_writes=True))
        stack.enter_context(connection.begin())
        if not database.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        yield connection


@contextmanager
def _folder_locked(folder: Path) -> Iterator[None]:
    """We alone migrate in `folder`, which exists.

    SQLite's own lock is not enough: the very first switch to WAL fails at once when two processes race for it.
    The folder is locked, and not a file of our own, so that nothing is left lying beside the database.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _path(address: URL) -> Path:
    if not address.database or address.database == ":memory:":
        raise ValueError("a database in memory cannot be shared: use sqlite:///path/to/file.db")
    return Path(address.database)
