"""The limits of this process at one endpoint: attempts at once, and attempts in any one second.

Where an account has no places to spare, an endpoint earns its attempts at once as a TCP sender earns its window in slow
start: two while this process knows nothing of it, one more with each that succeeds, half as many after each that fails.
So endpoints that take requests and never answer, however many, leave places for the live ones of their account. After
ten failures in a row the circuit is open: attempts go one at a time, each a probe, a second apart, until one succeeds.

Pure: `now` comes in. Each process counts for itself; what several do together is not known here.
"""

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta

_SECOND = timedelta(seconds=1)
_FARTHEST = timedelta(seconds=60)
_FARTHEST_WHEN_OPEN = timedelta(seconds=300)
_FORGOTTEN_AFTER = timedelta(hours=1)
_FIRST_WINDOW = 2
"""At once at an endpoint of which nothing is known. What is to spare (32 of a process's 256 places) and so many at each
of the 50 endpoints that an account may have are about its share, 128."""
OPENS_AFTER_FAILURES = 10
_SOON_SECONDS = 0.5
_TURNS_QUEUED = 4  # for each attempt under way
_NEWEST_SHARE = 0.2
_SHORTEST_SECONDS = 0.05
_SPEED_FORGOTTEN_AFTER = timedelta(minutes=1)


@dataclass(slots=True)
class Throttle:
    """One endpoint's attempts. `most_at_once` caps those under way, however well the endpoint answers.

    `failures` are those in a row, up to now. `window` is how many at once its answers have earned.
    """

    most_at_once: int
    under_way: int = 0
    failures: int = 0
    window: int = _FIRST_WINDOW
    _has_succeeded: bool = False
    _noted_at: datetime | None = None
    _ended_at: datetime | None = None
    _attempt_seconds: float | None = None  # a moving mean
    _begun: deque[datetime] = field(default_factory=deque)
    _slots_end: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Return True if the circuit is open: the endpoint is probed, no more."""
        return self.failures >= OPENS_AFTER_FAILURES

    @property
    def farthest(self) -> timedelta:
        """Return how long one that may not begin now waits at most until it asks again."""
        return _FARTHEST_WHEN_OPEN if self.is_open else _FARTHEST

    def begin(self, per_second: int | None, now: datetime, *, spare: bool = False) -> bool:
        """Count another attempt and return True, or return False if none may begin now.

        `per_second` caps those begun in any one second. With `spare` places nothing need be earned first.
        """
        while self._begun and now - self._begun[0] >= _SECOND:
            self._begun.popleft()
        most = self.most_at_once if spare and not self.is_open else self._cap
        if self._probed_lately(now) or self.under_way >= most:
            return False
        if per_second is not None and len(self._begun) >= per_second:
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
        """Remember how an attempt went. Return True if those that wait for a slot may come now.

        That is the success that closes the circuit, and the first one of an endpoint whose deliveries wait.
        """
        waiting = self._slots_end is not None and self._slots_end > now
        released = succeeded and (self.is_open or (waiting and not self._has_succeeded))
        self.window = min(self.window + 1, self.most_at_once) if succeeded else max(self.window // 2, 1)
        self.failures = 0 if succeeded else self.failures + 1
        self._has_succeeded = self._has_succeeded or succeeded
        self._noted_at = now
        if released:
            self._slots_end = None
        return released

    def next_slot(self, per_second: int | None, now: datetime) -> datetime:
        """Return when one that may not begin now should ask again: in 1 to 60 s, or 300 s where the circuit is open.

        Each gets a slot of its own. Were all to ask again at the same time, a long queue would be claimed and released
        every second. An endpoint that has never succeeded gets as many slots a second as it may have attempts at once.
        """
        earliest, farthest = now + _SECOND, now + self.farthest
        end = self._slots_end
        slot = earliest if end is None or not earliest <= end <= farthest else end
        self._slots_end = slot + _SECOND / self._slots_a_second(per_second)
        return slot

    @property
    def is_unproven(self) -> bool:
        """Return True if the endpoint has not taken anything, or nothing since its circuit opened."""
        return self.is_open or not self._has_succeeded

    def is_idle(self, now: datetime) -> bool:
        """Return True if nothing is remembered that still matters: an hour after the last attempt."""
        lately = bool(self._begun) and now - self._begun[-1] < _SECOND
        waiting = self._slots_end is not None and self._slots_end > now
        known = self._noted_at is not None and now - self._noted_at < _FORGOTTEN_AFTER
        speed_known = self._ended_at is not None and now - self._ended_at < _SPEED_FORGOTTEN_AFTER
        return not (self.under_way or lately or waiting or known or speed_known)

    def _probed_lately(self, now: datetime) -> bool:
        # A connection refused costs the endpoint a millisecond and us a record; without a pause hundreds go a second.
        return self.is_open and self._noted_at is not None and now - self._noted_at < _SECOND

    def _slots_a_second(self, per_second: int | None) -> float:
        if self._has_succeeded and not self.is_open:
            return per_second or self._usual_per_second
        return min(per_second or self._cap, self._cap)

    @property
    def _usual_per_second(self) -> float:
        """Return how many attempts the endpoint takes a second, by their time lately, or as if each took one second."""
        seconds = 1.0 if self._attempt_seconds is None else self._attempt_seconds
        return self.most_at_once / max(seconds, _SHORTEST_SECONDS)

    @property
    def _cap(self) -> int:
        return 1 if self.is_open else min(self.window, self.most_at_once)
