"""The limits of this process at one endpoint: attempts at once, and attempts in any one second.

Where an account has no places to spare, an endpoint earns its attempts at once as a TCP sender earns its window in slow
start: two while this process knows nothing of it, one more with each that succeeds, half as many after each that fails.
So endpoints that take requests and never answer, however many, leave places for the live ones of their account. After
ten failures in a row the circuit is open: attempts go one at a time, each a probe, a second apart, until one succeeds.

Pure: `now` comes in. Each process counts for itself; what several do together is not known here.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from service.kit.clock import Clock
from service.webhooks.queue.claimed import ClaimedDelivery

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


_WAITS_AT_MOST = timedelta(seconds=1)  # of a lease that has three seconds to spare

Release = tuple[ClaimedDelivery, datetime]
"""A delivery to hand back, and when it is due again."""


class Admission:
    """The throttles of all endpoints with something under way, and their short queues.

    `begin` starts an attempt that may begin now. `give_up` hands back what waited too long, or for an endpoint that
    fails. Both are called on the event loop, and neither waits.
    """

    def __init__(
        self,
        per_endpoint: int,
        clock: Clock,
        begin: Callable[[ClaimedDelivery, Throttle], None],
        give_up: Callable[[Sequence[Release]], None],
    ) -> None:
        self._per_endpoint = per_endpoint
        self._clock = clock
        self._begin = begin
        self._give_up = give_up
        self._throttles: dict[str, Throttle] = {}
        self._queues: defaultdict[str, deque[tuple[ClaimedDelivery, datetime]]] = defaultdict(deque)

    def throttle(self, endpoint_id: str) -> Throttle:
        """Return the endpoint's throttle; a new one where nothing is remembered."""
        if (throttle := self._throttles.get(endpoint_id)) is None:
            throttle = self._throttles[endpoint_id] = Throttle(self._per_endpoint)
        return throttle

    def admit(self, claim: ClaimedDelivery, now: datetime, *, spare: bool = False) -> datetime | None:
        """Begin the attempt, or let it wait in memory, and return `None`; else return when it should ask again.

        `spare`: its account has places to spare, so its endpoint need not have earned one.
        """
        per_second, throttle = claim.target.rate_limit_per_second, self.throttle(claim.endpoint_id)
        ahead = len(self._queues.get(claim.endpoint_id, ()))
        if not ahead and throttle.begin(per_second, now, spare=spare):
            self._begin(claim, throttle)
        elif throttle.frees_soon(per_second, ahead):
            self._queues[claim.endpoint_id].append((claim, now))
            if not ahead:
                self._watch(claim.endpoint_id)
        else:
            return throttle.next_slot(per_second, now)
        return None

    def end(self, endpoint_id: str, throttle: Throttle, started_at: datetime) -> None:
        """Count an attempt as over, and begin the next that waits in memory."""
        now = self._clock()
        throttle.end(now, now - started_at)
        self._begin_queued(endpoint_id)

    def close(self) -> None:
        """Give up all that waits in memory, due at once."""
        now = self._clock()
        waiting = [(claim, now) for queue in self._queues.values() for claim, _ in queue]
        self._queues.clear()
        if waiting:
            self._give_up(waiting)

    def forget(self, now: datetime) -> None:
        """Drop the throttles of endpoints of which nothing is remembered that still matters."""
        self._throttles = {name: throttle for name, throttle in self._throttles.items() if not throttle.is_idle(now)}

    def _begin_queued(self, endpoint_id: str) -> None:
        queue = self._queues.get(endpoint_id)
        if not queue:
            return
        now, throttle, released = self._clock(), self.throttle(endpoint_id), list[Release]()
        while queue:
            claim, since = queue[0]
            per_second = claim.target.rate_limit_per_second
            if throttle.is_open or now - since >= _WAITS_AT_MOST:
                released.append((claim, throttle.next_slot(per_second, now)))
            elif throttle.begin(per_second, now):
                self._begin(claim, throttle)
            else:
                break
            queue.popleft()
        if not queue:
            del self._queues[endpoint_id]
        if released:
            self._give_up(released)

    def _watch(self, endpoint_id: str) -> None:
        """Look at the queue until it is empty: its endpoint may just have stopped answering."""
        self._begin_queued(endpoint_id)
        if self._queues.get(endpoint_id):
            later = asyncio.get_running_loop().call_later
            later(_WAITS_AT_MOST.total_seconds(), self._watch, endpoint_id)
