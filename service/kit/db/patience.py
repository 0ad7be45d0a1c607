"""The time limits of PostgreSQL: one for each step. `postgres` enforces them."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from sqlalchemy.engine import URL

FOREVER = float("inf")
_MARGIN = 1.1  # the server's own word, where it still comes, says more than ours
_LEAST_SECONDS = 4.0  # a connection alone may take 2: libpq knows no shorter limit
_KEEPALIVE_PARTS = 4  # the line is probed after a quarter of the time in which it must answer, and in each further one
_IN_OPTIONS = re.compile(r"(?:-c\s*|--)statement[_-]timeout=(\d+)(ms|s|min|h|d)?(?:\s|$)")
_UNITS = {"ms": 0.001, "s": 1, "min": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True)
class Patience:
    """Limits in seconds; 0 is none. What the address itself says of the same matter holds instead."""

    connect: float = 5.0
    line: float = 20.0  # what was sent must be acknowledged within it (tcp_user_timeout), as must keepalives
    statement: float = 30.0
    lock: float = 10.0
    idle: float = 60.0  # in a transaction

    def of(self, url: URL) -> "Patience":
        """Return the same with the statement limit of `url`: our own limit must not come before the server's."""
        found = _IN_OPTIONS.findall(_text(url.query.get("options", "")))
        if not found:
            return self
        number, unit = found[-1]
        return Patience(self.connect, self.line, int(number) * _UNITS[unit or "ms"], self.lock, self.idle)

    @property
    def answer(self) -> float:
        """Return the most seconds a call may take: waiting for its turn, and all its statements."""
        return max(self.statement * _MARGIN, _LEAST_SECONDS) if self.statement else FOREVER

    def server_limits(self) -> dict[str, str]:
        """Return the server's settings and their values."""
        limits = {
            "statement_timeout": self.statement,
            "lock_timeout": self.lock,
            "idle_in_transaction_session_timeout": self.idle,
        }
        return {name: str(round(seconds * 1000)) for name, seconds in limits.items() if seconds}

    def parameters(self, url: URL, *, options: bool = True) -> dict[str, Any]:
        """Return libpq's parameters beside those of `url`; without `options` for a pooler that refuses limits."""
        ours: dict[str, Any] = {}
        if self.connect:
            ours["connect_timeout"] = max(1, round(self.connect))
        if self.line:
            part = max(1, round(self.line / _KEEPALIVE_PARTS))
            ours |= {"keepalives": 1, "keepalives_idle": part, "keepalives_interval": part}
            ours |= {"keepalives_count": _KEEPALIVE_PARTS - 1, "tcp_user_timeout": round(self.line * 1000)}
        ours = {name: value for name, value in ours.items() if name not in url.query}
        if options and (limits := self.server_limits()):
            set_by_us = " ".join(f"-c {name}={value}" for name, value in limits.items())
            ours["options"] = f"{set_by_us} {_text(url.query.get('options', ''))}".strip()  # the later one wins
        return ours


UNHURRIED = Patience(statement=0, lock=0, idle=0)
"""For work that takes as long as it takes, such as migrations."""


class Deadline:
    """When a call must be over. It can be brought forward from any thread."""

    def __init__(self, seconds: float) -> None:
        self.at = time.monotonic() + seconds

    def hurry(self, seconds: float) -> None:
        """Bring the deadline forward to `seconds` from now, if it is later."""
        self.at = min(self.at, time.monotonic() + seconds)

    @property
    def left(self) -> float:
        """Return the seconds that are left."""
        return self.at - time.monotonic()


_deadline: ContextVar[Deadline | None] = ContextVar("deadline", default=None)


@contextmanager
def within(deadline: Deadline) -> Iterator[None]:
    """Let no connection of this thread wait longer than until `deadline`, inside."""
    token = _deadline.set(deadline)
    try:
        yield
    finally:
        _deadline.reset(token)


def current_deadline() -> Deadline | None:
    """Return when the call of this thread must be over; `None` if it may take as long as it takes."""
    return _deadline.get()


def time_left() -> float:
    """Return how many seconds the call of this thread has left."""
    deadline = _deadline.get()
    return FOREVER if deadline is None else deadline.left


def _text(value: str | tuple[str, ...]) -> str:
    return value if isinstance(value, str) else " ".join(value)
