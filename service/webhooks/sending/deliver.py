"""The deliverer of a process: claim, attempt, record; many at once, and no endpoint starves another.

Claiming and recording are transactions; the attempts between them are not. Deliveries come in two ways: by the claim
of due rows, and directly, as rows just committed in this process, which arrive already leased.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast

import aiohttp
import structlog

from service.kit.backoff import Random
from service.kit.clock import Clock, seconds
from service.kit.concurrency.shares import Shares
from service.kit.concurrency.task_pool import ShutdownInterrupt, TaskPool
from service.kit.db.database import Database
from service.kit.db.group_commit import GroupCommit
from service.kit.http.resolver import on_behalf_of
from service.kit.ids import new_id
from service.kit.security.sealing import Sealer
from service.kit.telemetry.metrics import Count
from service.webhooks.models import PHASES
from service.webhooks.queue.bulk_moves import bring_forward, due_deliveries, postpone, spread_out
from service.webhooks.queue.claim import hold_claimed, release_claim, release_claims
from service.webhooks.queue.claimed import ClaimedDelivery, Leased, load_claimed
from service.webhooks.queue.record import ClaimRequest, ClaimResult, Done, FinishedAttempt, Step
from service.webhooks.sending.attempt import Outcome, attempt
from service.webhooks.sending.finish import judge, log_attempt
from service.webhooks.sending.retry import RetryPolicy
from service.webhooks.sending.senders import Senders
from service.webhooks.sending.signing import own_headers
from service.webhooks.sending.throttle import Admission, Release, Throttle

log = structlog.get_logger()

ATTEMPTS = Count("relay_attempts_total", "Tries to deliver an event, by the class of what came of them.", "class")

# So many turned away in one round: more of that endpoint's must wait right behind. One is enough where it takes none.
_CROWD = 20
_FORGETS_EVERY = timedelta(minutes=1)
_SPARE_SHARE = 1 / 8  # an account that has less of the places may lend them to endpoints that have yet to answer
_RESERVABLE_SHARE = 0.75  # the rest stays free for what is claimed: retries, and other processes' events
# Under a backlog attempts are recorded with the claim that follows, so many or so long after the first at the latest.
_GATHERED, _GATHER_SECONDS = 128, 0.2


@dataclass(frozen=True, slots=True)
class DeliveryPolicy:
    """The limits of deliveries. `timeout` is the whole attempt's, in seconds."""

    retry: RetryPolicy
    timeout: float
    capacity: int = 256
    per_endpoint: int = 32

    @property
    def lease(self) -> timedelta:
        """Return the lease: longer than any attempt with its one free repetition, or slow endpoints get all twice."""
        return seconds(self.timeout * 2.2 + 3)


class Deliverer:
    """The deliveries of one process. `step` is called when woken; `take` with rows that are leased already."""

    def __init__(
        self,
        database: Database,
        session: aiohttp.ClientSession,
        writer: GroupCommit[Step, Done],
        sealer: Sealer,
        policy: DeliveryPolicy,
        *,
        clock: Clock,
        random: Random,
        kick: Callable[[], None] = lambda: None,
    ) -> None:
        self._database = database
        self._session = session
        self._writer = writer
        self._policy = policy
        self._clock = clock
        self._random = random
        self.kick = kick
        self._loop = asyncio.get_running_loop()
        self._under_way: set[asyncio.Task[None]] = set()
        self._shares = Shares(policy.capacity)
        self._senders = Senders(sealer)
        self._admission = Admission(policy.per_endpoint, clock, self._begin, self._give_up)
        self._forgets_at = clock() + _FORGETS_EVERY
        self._pool = TaskPool()
        self._turning_away = asyncio.Lock()
        self._arrived: list[Leased] = []
        self._arriving = 0  # given by `take`, and not begun
        self._attempting = 0  # or about to, in memory
        self._claiming = False
        self._finished: list[tuple[FinishedAttempt, bool]] = []  # and if what waits for its endpoint may come now
        self._unrecorded = 0  # those, and what is being recorded
        self._backlog = False  # more was due than there were places for
        self._recording_soon: asyncio.TimerHandle | None = None
        self.counts: Counter[str] = Counter()

    async def step(self) -> bool:
        """Begin as many due deliveries as there is room for. Return True if there may be more to claim now."""
        if self._pool.closed or self._room() < self._policy.capacity // 4:
            return False  # refilled at a low-water mark: `_release_place` kicks again
        now = self._clock()
        self._forget(now)
        room = self._room()
        claimed = await self._claim(now, room)
        self._shares.refused |= claimed.refused
        await self._start(claimed.claims)
        self._backlog = len(claimed.claims) == room or bool(claimed.refused)
        if not self._attempting:
            self._record_now()
        return len(claimed.claims) == room or any(self._shares.may_go_on(account) for account in claimed.refused)

    def reserve(self, account_ids: Sequence[str], now: datetime) -> tuple[str, datetime] | None:
        """Return a lease for rows about to be committed in this process, if there is room for them."""
        # Nothing is set aside: the transaction may still fail. A few more than `capacity` do no harm.
        many = self._attempting + self._arriving + len(account_ids) > self._policy.capacity * _RESERVABLE_SHARE
        if self._pool.closed or many or self._unrecorded >= self._policy.capacity:
            return None
        if any(count > self._shares.left_for(account_id) for account_id, count in Counter(account_ids).items()):
            return None
        return new_id("lease"), now + self._policy.lease

    def take(self, leased: Sequence[Leased]) -> None:
        """Begin the attempts of rows reserved before, which are committed now."""
        self._loop.call_soon_threadsafe(self._arrive, leased)

    async def drain(self, within: float) -> None:
        """Begin nothing more; give what is under way `within` seconds to finish, and release the rest.

        A delivery that is released is due at once and no attempt is recorded, though the endpoint may have seen it.
        """
        self._pool.closed = True
        self._record_now()
        self._admission.close()
        await self._pool.drain(self._under_way, within)
        await self._writer.drain()

    def _room(self) -> int:
        """Return how many more may be claimed: none while the database is slower than the endpoints."""
        return self._shares.room if self._unrecorded < self._policy.capacity else 0

    async def _claim(self, now: datetime, room: int) -> ClaimResult:
        request = ClaimRequest(now, now + self._policy.lease, room, self._shares.copy())
        self._record_now()  # in the same transaction
        self._claiming = True
        try:
            return cast("ClaimResult", await self._writer.put(request))
        finally:
            self._claiming = False

    def _arrive(self, leased: Sequence[Leased]) -> None:
        """Load what comes while one read is on its way together, by the next."""
        if not self._arriving:
            self._spawn(self._take_arrived())
        self._arrived += leased
        self._arriving += len(leased)

    async def _take_arrived(self) -> None:
        while self._arrived:
            leased, self._arrived = self._arrived, []
            try:
                claims = await self._ready(leased)
            finally:
                self._arriving -= len(leased)
            await self._start(claims)

    async def _ready(self, leased: Sequence[Leased]) -> Sequence[ClaimedDelivery]:
        now = self._clock()
        claims = await self._database.read(load_claimed, leased, now)
        if len(claims) < len(leased):
            ready = {claim.delivery_id for claim in claims}
            stopped = {each.delivery_id: each.lease_token for each in leased if each.delivery_id not in ready}
            await self._database.write(hold_claimed, stopped, now)
        return claims

    async def _start(self, claims: Sequence[ClaimedDelivery]) -> None:
        """Begin the attempts of these deliveries; release those whose endpoint is busy, and all if the process ends.

        Where many of one endpoint are released, the rest that is due there gets later times too, before it is claimed.
        """
        too_many: list[Release] = []
        for claim in claims:
            now = self._clock()
            if self._pool.closed:
                too_many.append((claim, now))
            elif (slot := self._admission.admit(claim, now, spare=self._has_spare(claim.account_id))) is not None:
                too_many.append((claim, slot))
            else:
                self._shares.hold(claim.account_id)
                self._attempting += 1
        if too_many:
            async with self._turning_away:
                await self._turn_away(too_many)

    async def _turn_away(self, claims: Sequence[Release]) -> None:
        await self._database.write(release_claims, claims)
        if not self._pool.closed:
            turned_away = Counter((claim.endpoint_id, claim.target.rate_limit_per_second) for claim, _ in claims)
            for (endpoint_id, per_second), count in turned_away.items():
                if count >= _CROWD or self._admission.throttle(endpoint_id).is_unproven:
                    await self._spread_out(endpoint_id, per_second)

    def _has_spare(self, account_id: str) -> bool:
        return self._shares.in_use(account_id) < self._policy.capacity * _SPARE_SHARE

    def _begin(self, claim: ClaimedDelivery, throttle: Throttle) -> None:
        self._spawn(self._deliver(claim, throttle))

    def _give_up(self, waiting: Sequence[Release]) -> None:
        """Hand back what waited in memory."""
        for claim, _ in waiting:
            self._release_place(claim.account_id)
        self._spawn(self._hand_back(waiting))

    async def _hand_back(self, waiting: Sequence[Release]) -> None:
        async with self._turning_away:
            await self._database.write(release_claims, waiting)

    async def _spread_out(self, endpoint_id: str, per_second: int | None) -> None:
        """Make the endpoint's due rows, up to a slice, due later: they must not delay what others wait for."""
        now, throttle = self._clock(), self._admission.throttle(endpoint_id)
        if throttle.is_open:
            await self._database.write(postpone, endpoint_id, now, now + throttle.farthest)
        else:
            waiting = await self._database.read(due_deliveries, endpoint_id, now)
            slots = [(row, throttle.next_slot(per_second, now)) for row in waiting]
            await self._database.write(spread_out, slots, now)

    def _forget(self, now: datetime) -> None:
        """Once a minute, forget endpoints of which nothing is known that still matters."""
        if now < self._forgets_at:
            return
        self._forgets_at = now + _FORGETS_EVERY
        self._senders.forget(now)
        self._admission.forget(now)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._finish)

    def _finish(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._crashed(error)

    def _crashed(self, error: BaseException) -> None:
        """Log the fault. The row's lease runs out and it is tried again, so nothing is lost."""
        log.error("delivery.crashed", exc_info=error)

    async def _deliver(self, claim: ClaimedDelivery, throttle: Throttle) -> None:
        """Make one attempt, up to where it waits to be recorded."""
        started_at = self._clock()
        try:
            outcome = await self._attempt(claim, started_at)
            finished = judge(claim, started_at, outcome, self._policy.retry, self._clock(), self._random)
            closed = finished.counted and throttle.note(finished.ended_at, succeeded=finished.error_class is None)
        except ShutdownInterrupt:
            await self._release_claim(claim)
            return
        finally:
            # Give the place to another: it need not wait until this attempt is on record.
            self._release_place(claim.account_id)
            self._admission.end(claim.endpoint_id, throttle, started_at)
        self._unrecorded += 1
        self._finished.append((finished, closed))
        if closed or not self._more_to_come() or len(self._finished) >= _GATHERED:
            self._record_now()
        elif self._recording_soon is None:
            self._recording_soon = self._loop.call_later(_GATHER_SECONDS, self._record_now)

    def _more_to_come(self) -> bool:
        """Return True if others go on record soon, and no batch is gathered already that would take these along."""
        coming = self._attempting or self._claiming
        return bool(self._backlog and coming) and not self._pool.closed and not self._writer.gathers

    def _release_place(self, account_id: str) -> None:
        self._attempting -= 1
        half_empty = self._shares.room == self._policy.capacity - self._policy.capacity // 2 - 1
        # One that was refused may have more due than it had places for.
        if self._shares.release(account_id) or half_empty:
            self.kick()

    def _record_now(self) -> None:
        if self._recording_soon is not None:
            self._recording_soon.cancel()
            self._recording_soon = None
        if self._finished:
            batch, self._finished = self._finished, []
            self._spawn(self._record(batch))

    async def _record(self, batch: Sequence[tuple[FinishedAttempt, bool]]) -> None:
        """Record attempts; beside each: True if what waits for its endpoint may come now."""
        was_full = self._unrecorded >= self._policy.capacity
        try:
            answers = [self._writer.put(finished) for finished, _ in batch]
            await asyncio.wait(answers[-1:])  # with the last all have come
        finally:
            self._unrecorded -= len(batch)
        for (finished, _), answer in zip(batch, answers, strict=True):
            if error := answer.exception():
                self._crashed(error)
            else:
                self.counts[finished.state] += 1
                ATTEMPTS.add(finished.error_class or "taken")
                log_attempt(finished, recorded=bool(answer.result()))
        reopened = {finished.claim.endpoint_id for finished, closed in batch if closed}
        for endpoint_id in reopened:
            async with self._turning_away:  # what was turned away before has its slot by then
                await self._database.write(bring_forward, endpoint_id, self._clock())
        if reopened or was_full:
            self.kick()

    async def _release_claim(self, claim: ClaimedDelivery) -> None:
        self.counts["handed_back"] += 1
        ATTEMPTS.add("handed_back")
        await self._database.write(release_claim, claim, self._clock())
        log.info(
            "delivery.handed_back",
            delivery_id=claim.delivery_id,
            endpoint_id=claim.endpoint_id,
            event_id=claim.event_id,
            detection_id=claim.detection_id,
            account_id=claim.account_id,
            mode=claim.mode,
        )

    async def _attempt(self, claim: ClaimedDelivery, now: datetime) -> Outcome:
        try:
            sender = self._senders.of(claim.target, now)
            headers = {**sender.headers, **own_headers(claim.event_id, claim.body, sender.keys, now)}
            with on_behalf_of(claim.account_id):
                return await self._pool.run(attempt(self._session, sender.url, claim.body, headers))
        except ShutdownInterrupt:
            raise
        except Exception:
            # A broken seal, or a bug: it counts as a try, so that it goes on by the schedule and comes to an end.
            log.exception("delivery.internal_fault", delivery_id=claim.delivery_id, endpoint_id=claim.endpoint_id)
            return Outcome(None, "internal", dict.fromkeys(PHASES))
