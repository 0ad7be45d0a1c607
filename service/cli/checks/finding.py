"""What a check is given, and what it finds."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from sqlmodel import Session, col, select

from service.detectors.catalogue import Catalogue
from service.kit.clock import Clock
from service.kit.db.database import Database
from service.kit.process.heartbeat import Worker
from service.kit.system_clock import system_clock
from service.settings import Settings

FRESH = timedelta(seconds=60)


class Severity(StrEnum):
    """The severity of a finding. Only `fail` makes the command fail."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence: how it is, or what to do."""

    level: Severity
    sentence: str


@dataclass(frozen=True, slots=True)
class World:
    """What a check may look at. It changes nothing there, and spends nothing at a vendor.

    `dev` is the command that starts all of it, where it lives in a folder of `relay dev`'s.
    """

    settings: Settings
    database: Database
    catalogue: Catalogue
    clock: Clock = system_clock
    environment: Mapping[str, str] = field(default_factory=dict)
    timeout_seconds: float = 10.0
    dev: str | None = None


CheckFunction = Callable[[World], Awaitable[Finding]]


@dataclass(frozen=True, slots=True)
class Check:
    """A line of the doctor's. Where the database does not answer, those that need it are not tried."""

    name: str
    run: CheckFunction
    needs_database: bool = False


def many(count: int, one: str, more: str) -> str:
    """Return the count with the words that fit the number: `1 callback was`, `2 callbacks were`."""
    return f"{count} {one if count == 1 else more}"


def ok(sentence: str) -> Finding:
    """Build a finding that all is well."""
    return Finding(Severity.OK, sentence)


def warn(sentence: str) -> Finding:
    """Build a finding for what works, but needs an operator's attention."""
    return Finding(Severity.WARN, sentence)


def fail(sentence: str) -> Finding:
    """Build a finding for what does not work, or soon will not."""
    return Finding(Severity.FAIL, sentence)


def latest_worker(session: Session) -> Worker | None:
    """Return the process whose heartbeat is the latest."""
    found = session.exec(select(Worker).order_by(col(Worker.heartbeat_at).desc()).limit(1)).first()
    session.expunge_all()
    return found


def at_work(session: Session, now: datetime) -> int:
    """Return how many processes had a heartbeat within a minute."""
    return len(session.exec(select(Worker.id).where(Worker.heartbeat_at > now - FRESH)).all())
