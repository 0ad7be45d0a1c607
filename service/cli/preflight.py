"""What an operator can have wrong before a command does its work, found first and said in a line each.

Each line names the setting and says what to do. `SettingsError` carries the lines, and the command ends with status 2.
"""

import errno
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import structlog
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session, col, select

from service.billing.prices import load_prices
from service.callbacks.addresses import PURPOSE
from service.callbacks.models import CallbackAddress
from service.kit.db.database import Database, normalise_url
from service.kit.errors import SettingsError
from service.kit.schema.revisions import MigrationBlocked, SchemaUnknown, head_revision, is_known, revision_in
from service.kit.security.sealing import SealBroken, Sealer
from service.settings import Settings

log = structlog.get_logger()

_LOOK_AGAIN_SECONDS = 2.0
_LONGEST = 300
_PARTS = "the address, the names, the password and the network"
_KEY_IS_GONE = (
    "SECRET_KEYS: what is stored was sealed with a key that is not among them; add the old key after the new ones;"
    " for example new-key,old-key"
)


@dataclass(frozen=True, slots=True)
class StartProblem:
    """A line for the operator. `passes`: it may be over by itself, while another process migrates or starts."""

    line: str
    passes: bool = False


def ready_to_serve(settings: Settings, *, listens: bool) -> None:
    """Return if nothing is wrong that can be seen before the first request. Raise `SettingsError` with all that is."""
    faults = [*_of_database(settings, seals=True), *_of_folders(settings), *_of_prices(settings)]
    if listens:
        faults += _of_address(*settings.bind)
    _refuse(faults)


def wait_for_schema(
    settings: Settings,
    patience_seconds: float,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Return once the database answers and has our tables. Raise `SettingsError` if it has not in the time given.

    A worker may start before the process that migrates. What waiting cannot mend is refused at once.
    """
    until = clock() + patience_seconds
    told = False
    while True:
        faults = _of_database(settings, seals=False)
        if clock() >= until or not any(fault.passes for fault in faults):
            return _refuse(faults)
        if not told:
            log.warning("worker.waiting", why=faults[0].line, seconds=patience_seconds)
            told = True
        sleep(_LOOK_AGAIN_SECONDS)


def open_database(settings: Settings) -> Database:
    """Return the database of these settings, open. Raise `SettingsError` if it is not there or not migrated."""
    _refuse(_of_database(settings, seals=False))
    return Database(settings.database_url, patience=settings.patience)


def operator_message(error: BaseException) -> str | None:
    """Return a message for the operator; `None` where the error is not an operator's mistake."""
    told = None
    match error:
        case SettingsError():
            told = str(error)
        case SealBroken():
            told = _KEY_IS_GONE
        case MigrationBlocked():
            told = f"DATABASE_URL: {error}"
        case SchemaUnknown():
            told = f"DATABASE_URL: {_first_line(error)}; deploy the version that migrated it"
        case DBAPIError():
            told = f"DATABASE_URL: {_first_line(error)}; check {_PARTS}"
        case OSError(filename=str() as place):
            told = f"{place}: {error.strerror}; give relay a place that it may use"
    return told


def _refuse(faults: list[StartProblem]) -> None:
    if faults:
        raise SettingsError("\n".join(fault.line for fault in faults))


def _of_database(settings: Settings, *, seals: bool) -> list[StartProblem]:
    """Return what is wrong with the database. A SQLite file that is not there is not made by looking."""
    url = normalise_url(settings.database_url)
    if settings.is_sqlite and (fault := _of_file(Path(url.database or ""))):
        return [fault]
    with closing(Database(settings.database_url, patience=settings.patience)) as database:
        try:
            with database.reading() as session:
                faults = list(_of_schema(session))
                return faults if faults or not seals else list(_of_seals(session, settings))
        except DBAPIError as error:
            line = f"DATABASE_URL: {_first_line(error)}; check {'the file' if settings.is_sqlite else _PARTS}"
            return [StartProblem(line, passes=not settings.is_sqlite)]


def _of_file(path: Path) -> StartProblem | None:
    if not path.exists():
        return StartProblem(f"DATABASE_URL: there is no {path}; run: relay migrate")
    if not os.access(path, os.W_OK) or not os.access(path.resolve().parent, os.W_OK):
        return StartProblem(
            f"DATABASE_URL: {path} and its folder cannot be written to; give them to the user that runs relay"
        )
    return None


def _of_schema(session: Session) -> Iterator[StartProblem]:
    """Yield a fault where the tables are older than this code. Newer ones are served, as `/readyz` says."""
    revision = revision_in(session.connection())
    if revision is None or (is_known(revision)[0] and revision != head_revision()):
        have = f"is at {revision}" if revision else "has no tables of ours"
        yield StartProblem(
            f"DATABASE_URL: the database {have}, this code needs {head_revision()}; run: relay migrate", True
        )


def _of_seals(session: Session, settings: Settings) -> Iterator[StartProblem]:
    """Yield a fault where our own addresses for the twins were sealed with a key that we do not have."""
    sealer = Sealer(settings.secret_keys)
    ours = select(CallbackAddress).where(CallbackAddress.mode == "test", col(CallbackAddress.valid_until).is_(None))
    try:
        for row in session.exec(ours):
            sealer.open(PURPOSE, row.id, row.sealed_token)
    except SealBroken:
        yield StartProblem(_KEY_IS_GONE)


def _of_folders(settings: Settings) -> Iterator[StartProblem]:
    setting = settings.store
    if not setting.startswith("file:"):
        return
    whole = Path(setting.removeprefix("file:")).resolve()
    there = next(place for place in (whole, *whole.parents) if place.exists())
    if not there.is_dir():
        yield StartProblem(f"MEDIA_STORE: {there} is not a folder; name a folder that can be written to")
    elif not os.access(there, os.W_OK | os.X_OK):
        yield StartProblem(f"MEDIA_STORE: {there} cannot be written to; give it to the user that runs relay")


def _of_prices(settings: Settings) -> Iterator[StartProblem]:
    try:
        load_prices(settings.prices_file)
    except SettingsError as error:
        yield from (StartProblem(line) for line in str(error).splitlines())


def _of_address(host: str, port: int) -> Iterator[StartProblem]:
    """Yield a fault where we cannot listen. The server reports a port that is taken in the meantime."""
    try:
        places = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, place in places:
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind(place)
    except socket.gaierror as error:
        yield StartProblem(f"HOST: {host} is not an address ({error.strerror}); for example 127.0.0.1")
    except OSError as error:
        yield _of_bind(host, port, error)


def _of_bind(host: str, port: int, error: OSError) -> StartProblem:
    match error.errno:
        case errno.EADDRINUSE:
            return StartProblem(
                f"PORT: {port} at {host} is taken; end the process that listens there, or set another PORT"
            )
        case errno.EACCES:
            return StartProblem(f"PORT: {port} is not for this user ({error.strerror}); set a PORT above 1023")
    return StartProblem(f"HOST: nothing can listen at {host} ({error.strerror}); for example 127.0.0.1")


def _first_line(error: BaseException) -> str:
    """Return the first line of what the database said; its address, with the password, is not part of it."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return next(iter(str(cause).strip().splitlines()), type(cause).__name__).rstrip(".;")[:_LONGEST]
