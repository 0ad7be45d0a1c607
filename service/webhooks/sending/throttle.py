"""How fast this process may go at one endpoint: how many attempts at once, how many in any one second.

After so many failures in a row the circuit is open: attempts go one at a time, each a probe, until one succeeds.
Pure: `now` comes in. The rate is kept by each process for itself; what several do together is not known here.
"""

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta

_SECOND = timedelta(seconds=1)
_FARTHEST = timedelta(seconds=60)
_FARTHEST_WHEN_OPEN = timedelta(seconds=300)
_FORGOTTEN_AFTER = timedelta(hours=1)
OPENS_AFTER_FAILURES = 10
_SOON_SECONDS = 0.5
_TURNS_QUEUED = 4  # for each attempt under way
_NEWEST_SHARE = 0.2
_SHORTEST_SECONDS = 0.05
_SPEED_FORGOTTEN_AFTER = timedelta(minutes=1)


@dataclass(slots=True)
class Throttle:
    """One endpoint's attempts. `most_at_once` caps those under way, `per_second` those begun in a second.

    `failures` are those in a row, up to now.
    """

    most_at_once: int
    under_way: int = 0
    failures: int = 0
    _failed_at: datetime | None = None
    _attempt_seconds: float | None = None  # a moving mean
    _ended_at: datetime | None = None
    _begun: deque[datetime] = field(default_factory=deque)
    _slots_end: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether the circuit is open: the endpoint is probed, no more."""
        return self.failures >= OPENS_AFTER_FAILURES

    @property
    def farthest(self) -> timedelta:
        """How long one that may not begin now waits at most until it asks again."""
        return _FARTHEST_WHEN_OPEN if self.is_open else _FARTHEST

    def begin(self, per_second: int | None, now: datetime) -> bool:
        """Whether another attempt may begin now. If so, it is counted."""
        while self._begun and now - self._begun[0] >= _SECOND:
            self._begun.popleft()
        if self.under_way >= self._cap or (per_second is not None and len(self._begun) >= per_second):
            return False
        self.under_way += 1
        if per_second is not None:
            self._begun.append(now)
        return True

    def end(self, now: datetime, took: timedelta) -> None:
        """Count an attempt as over, and remember how long it took."""
        self.under_way -= 1
        newest, mean = took.total_seconds(), self._attempt_seconds
        self._attempt_seconds = newest if mean is None else mean + _NEWEST_SHARE * (newest - mean)
        self._ended_at = now

    def frees_soon(self, per_second: int | None, ahead: int) -> bool:
        """Return True if one that may not begin now, with `ahead` others before it, may begin within half a second.

        By Little's law, from how long attempts took lately. Never where that is unknown, a rate is kept, or the circuit
        is open.
        """
        mean, most = self._attempt_seconds, _TURNS_QUEUED * self._cap
        if mean is None or per_second is not None or self.is_open or ahead >= most:
            return False
        return (ahead + 1) * mean / self._cap <= _SOON_SECONDS

    def note(self, now: datetime, *, succeeded: bool) -> bool:
        """How the attempt went is remembered. True if it was the one that closed the circuit."""
        closed = succeeded and self.is_open
        self.failures = 0 if succeeded else self.failures + 1
        self._failed_at = None if succeeded else now
        if closed:
            self._slots_end = None
        return closed

    def next_slot(self, per_second: int | None, now: datetime) -> datetime:
        """When one that may not begin now should ask again: 1 to 60 s from now (300 at an open circuit), in a line.

        Were they all to ask again at the same time, a long line would be claimed and handed back every second.
        """
        earliest, farthest = now + _SECOND, now + self.farthest
        end = self._slots_end
        place = earliest if end is None or not earliest <= end <= farthest else end
        self._slots_end = place + _SECOND / (1 if self.is_open else per_second or self._usual_per_second)
        return place

    def is_idle(self, now: datetime) -> bool:
        """Whether nothing is remembered that still matters."""
        lately = bool(self._begun) and now - self._begun[-1] < _SECOND
        in_line = self._slots_end is not None and self._slots_end > now
        failing = self._failed_at is not None and now - self._failed_at < _FORGOTTEN_AFTER
        speed_known = self._ended_at is not None and now - self._ended_at < _SPEED_FORGOTTEN_AFTER
        return not (self.under_way or lately or in_line or failing or speed_known)

    @property
    def _usual_per_second(self) -> float:
        """How many attempts the endpoint takes a second, from how long they took lately, or as if each took one."""
        seconds = 1.0 if self._attempt_seconds is None else self._attempt_seconds
        return self.most_at_once / max(seconds, _SHORTEST_SECONDS)

    @property
    def _cap(self) -> int:
        return 1 if self.is_open else self.most_at_once
