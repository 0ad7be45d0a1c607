"""Limits of size, number and time for a connection, before it has proved to be a caller of ours."""

import resource
from dataclasses import dataclass, field
from typing import Final

_MOST_CONNECTIONS: Final = 1_000
_MOST_AT_ONCE: Final = 128
_FEWEST: Final = 16


def _share_of_files(divisor: int, most: int) -> int:
    may_open, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return most if may_open == resource.RLIM_INFINITY else max(_FEWEST, min(most, may_open // divisor))


def most_connections() -> int:
    """Return half of the files this process may open: the database, vendors and receivers take the other half."""
    return _share_of_files(2, _MOST_CONNECTIONS)


def most_at_once() -> int:
    """Return how many connections asyncio may let in at once: several times as many, before one can be dropped."""
    return _share_of_files(16, _MOST_AT_ONCE)


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """The bounds of one process. The times are in seconds."""

    target_bytes: int = 16_384  # RFC 9112 §3 wants 8,000 at least
    head_bytes: int = 32_768  # the target and all header lines, together
    headers: int = 100
    pipelined: int = 16  # requests that wait behind the one being answered
    head_seconds: float = 10
    body_seconds: float = 20  # and another second for each `body_bytes_per_second` that came
    body_bytes_per_second: int = 8_192
    linger_seconds: float = 5  # the rest of a body that was answered already
    write_seconds: float = 30  # the caller takes nothing of an answer
    crowded_seconds: float = 1  # an idle connection keeps its place against a new one
    tick_seconds: float = 0.5  # how often a connection looks at its clock
    connections: int = field(default_factory=most_connections)
    at_once: int = field(default_factory=most_at_once)
    backlog: int = 2_048  # wait in the kernel to be let in

    @property
    def reserve(self) -> int:
        """The number of further connections accepted for the health routes alone."""
        return max(8, self.connections // 8)
