"""Migrations: they bring a database to the schema of this code. The steps live in `migrations/`, one file each.

Several processes may start at once, each migrating first: one does the work, the others wait and find it done.
"""

import fcntl
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from service.kit.db.database import Database, normalise_url
from service.kit.db.patience import UNHURRIED
from service.kit.schema.revisions import MigrationBlocked, SchemaUnknown, revision_in

_INI = Path(__file__).resolve().parents[3] / "alembic.ini"
_LOCK = 0x52454C4159  # "RELAY": the advisory lock of migrations, and of nothing else
_ASK_AGAIN_SECONDS = 0.2
_IN_THE_WAY = ("55P03", "40P01")  # a lock not had in time, a deadlock: nothing of the step was kept

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Courtesy:
    """The wait of a step for a table that is in use. Later transactions on that table wait behind it meanwhile."""

    lock_seconds: float = 3.0
    pause_seconds: float = 5.0
    tries: int = 60


def upgrade(url: str, revision: str = "head", *, courtesy: Courtesy | None = None) -> None:
    """Bring the database to the newest schema; make a SQLite file and its folder. Safe beside other processes.

    Raise `MigrationBlocked` where a table cannot be had; what was done until then stays, and is not done again. Raise
    `SchemaUnknown` where a newer version of this code has migrated it.
    """
    _migrate(url, lambda config: command.upgrade(config, revision), courtesy or Courtesy())


def downgrade(url: str, revision: str = "base") -> None:
    """Bring the database to the schema of `revision`; what that one does not know is lost."""
    _migrate(url, lambda config: command.downgrade(config, revision), Courtesy())


def current_revision(url: str) -> str | None:
    """Return the revision the database has; `None` where it was never migrated. Creates no SQLite file."""
    address = normalise_url(url)
    if address.drivername == "sqlite" and not _path(address).exists():
        return None
    with closing(Database(url, patience=UNHURRIED)) as database, database.engine.connect() as connection:
        return revision_in(connection)


def _migrate(url: str, step: Callable[[Config], None], courtesy: Courtesy) -> None:
    address = normalise_url(url)
    with ExitStack() as stack:
        if address.drivername == "sqlite":
            stack.enter_context(_folder_locked(_path(address).parent))
        database = stack.enter_context(closing(Database(url, patience=UNHURRIED)))
        if database.is_sqlite:
            # relay_writes: the transaction begins as a writer, so a running process cannot come between.
            connection = stack.enter_context(database.engine.connect().execution_options(relay_writes=True))
            stack.enter_context(connection.begin())
            _run(step, connection)
        else:
            stack.enter_context(_alone(database.engine))
            _step_by_step(database.engine, step, courtesy)


def _run(step: Callable[[Config], None], connection: Connection) -> None:
    config = Config(_INI)
    config.attributes["connection"] = connection
    try:
        step(config)
    except CommandError as error:
        raise SchemaUnknown(str(error)) from error


def _step_by_step(engine: Engine, step: Callable[[Config], None], courtesy: Courtesy) -> None:
    """Run each step in a transaction of its own, which gives up a table that it cannot have soon, and tries again.

    A step that waits for a table blocks every later transaction on it: it must not wait for long.
    """

    @event.listens_for(engine, "begin")
    def wait_shortly(connection: Connection) -> None:
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = {round(courtesy.lock_seconds * 1000)}")

    for left in reversed(range(courtesy.tries)):
        try:
            with engine.connect() as connection:
                _run(step, connection)
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) not in _IN_THE_WAY:
                raise
            if not left:
                raise MigrationBlocked(
                    "a transaction of others holds a table that is to be changed; end it (it stands in"
                    " pg_stat_activity) and run: relay migrate"
                ) from error
            _log.warning("a table is in use; the step is tried again in %g s", courtesy.pause_seconds)
        else:
            return
        time.sleep(courtesy.pause_seconds)


@contextmanager
def _alone(engine: Engine) -> Iterator[None]:
    """Let no other process migrate this database, inside.

    The lock is asked for again and again, and is not waited for, by a transaction that sees no moment of the database:
    an index that is built beside running transactions waits for all that do.
    """
    with engine.connect().execution_options(isolation_level="READ COMMITTED") as connection:
        while not connection.execute(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": _LOCK}).scalar():
            connection.rollback()
            time.sleep(_ASK_AGAIN_SECONDS)
        # The last statement of a transaction keeps the moment that it saw; this one needs none.
        connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
        yield


@contextmanager
def _folder_locked(folder: Path) -> Iterator[None]:
    """Let this process alone migrate in `folder`, inside; make the folder if it is missing.

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
