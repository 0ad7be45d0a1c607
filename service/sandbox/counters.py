"""What a twin counts: earlier calls of a name, requests at a time, requests a minute. It remembers nothing else.

Bounded, and not shared: of two processes each counts for itself, and a restart forgets.
"""

from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final

from service.sandbox.script import Obstacle, Script

_KEPT: Final = 10_000


class CallCounter:
    """Counts by key. The key that was not counted for the longest is forgotten first."""

    def __init__(self, kept: int = _KEPT) -> None:
        self._counts: OrderedDict[str, int] = OrderedDict()
        self._kept = kept

    def count(self, key: str) -> int:
        """Count one more call with this key and return the number of calls before it."""
        before = self._counts.pop(key, 0)
        self._counts[key] = before + 1
        if len(self._counts) > self._kept:
            self._counts.popitem(last=False)
        return before

    def obstacle(self, name: str) -> Obstacle | None:
        """Return what the next submission of this name meets; None once all are met: then they begin anew."""
        obstacles = Script.of(name).obstacles
        if not obstacles:
            return None
        before = self.count(name)
        if before < len(obstacles):
            return obstacles[before]
        del self._counts[name]
        return None


_QUIET_SECONDS: Final = 60
_MINUTE_SECONDS: Final = 60


class Concurrency:
    """Requests at a time.

    A limit that `grows` makes room for one more with each refusal, until a minute has passed without a request: that
    is what Pex's guide for clients says of its service.
    """

    def __init__(self, capacity: int, *, grows: bool = False) -> None:
        self._least = self._room = capacity
        self._grows = grows
        self._busy = 0
        self._last_at: datetime | None = None

    @contextmanager
    def slot(self, now: datetime) -> Iterator[bool]:
        """Yield True and keep a slot until the block ends, or yield False if none is free; at capacity 0 one is."""
        free = self._has_room(now)
        self._busy += free
        try:
            yield free
        finally:
            self._busy -= free

    def _has_room(self, now: datetime) -> bool:
        if not self._least:
            return True
        if self._last_at is not None and (now - self._last_at).total_seconds() > _QUIET_SECONDS:
            self._room = self._least
        self._last_at = now
        if self._busy < self._room:
            return True
        self._room += self._grows
        return False


class PerMinute:
    """Requests of the last sixty seconds. At a limit of 0 none is counted."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._counted: deque[datetime] = deque()

    def allows(self, now: datetime) -> bool:
        """Count one more request and return True if it is within the limit; one that is not does not count."""
        if not self._limit:
            return True
        while self._counted and (now - self._counted[0]).total_seconds() >= _MINUTE_SECONDS:
            self._counted.popleft()
        if len(self._counted) >= self._limit:
            return False
        self._counted.append(now)
        return True
