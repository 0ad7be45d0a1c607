"""Which claimed deliveries may begin, and which wait a moment in memory because their endpoint is busy and quick.

To hand one back and claim it again costs two transactions and a second; a quick endpoint has room in milliseconds.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from service.kit.clock import Clock
from service.webhooks.queue.claimed import ClaimedDelivery
from service.webhooks.sending.throttle import Throttle

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
