"""Carrying events to endpoints: claim, attempt, record; many at once, and no endpoint starves another.

Claiming and recording are transactions; the attempts between them are not. Parcels come by two ways: the claim
of due rows, and the hand-off of rows just committed in this process, which arrive already leased.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import aiohttp
import structlog
from sqlmodel import Session

from service.kit.backoff import Random
from service.kit.clock import Clock, milliseconds_between, seconds
from service.kit.database import Database, wakes
from service.kit.errors import RelayError
from service.kit.groupcommit import GroupCommit
from service.kit.ids import new_id
from service.kit.metrics import Count
from service.kit.names import on_behalf_of
from service.kit.sealing import Sealer
from service.kit.shares import Shares
from service.kit.talks import Cut, Talks
from service.webhooks.attempt import Outcome, attempt
from service.webhooks.claim import Parcel, claim_deliveries, hand_back, load_parcels, put_aside
from service.webhooks.explain import explain
from service.webhooks.fanout import TOPIC
from service.webhooks.lineup import bring_forward, defer, due_deliveries, line_up
from service.webhooks.pace import Pace
from service.webhooks.phases import PHASES
from service.webhooks.record import Tried
from service.webhooks.retry import RetryPolicy, next_attempt_at
from service.webhooks.signing import open_headers, open_secrets, webhook_headers

log = structlog.get_logger()

ATTEMPTS = Count("relay_attempts_total", "Tries to deliver an event, by the class of what came of them.", "class")

_CROWD = 20  # so many turned away in one round: more of that endpoint's must be waiting right behind
_FORGETS_EVERY = timedelta(minutes=1)
_RESERVABLE_SHARE = 0.75  # the rest stays free for what is claimed: retries, and other processes' events


@dataclass(frozen=True, slots=True)
class DeliveryPolicy:
    """How deliveries are made. `timeout` is the whole attempt's, in seconds."""

    retry: RetryPolicy
    timeout: float
    capacity: int = 200
    per_endpoint: int = 32

    @property
    def lease(self) -> timedelta:
        """Longer than any attempt with its one free repetition: else a slow endpoint would get everything twice."""
        return seconds(self.timeout * 2.2 + 3)


class Deliverer:
    """The deliveries of one process. `step` is called when woken; `take` when rows are handed over."""

    def __init__(
        self,
        database: Database,
        session: aiohttp.ClientSession,
        recorder: GroupCommit[Tried, bool],
        sealer: Sealer,
        policy: DeliveryPolicy,
        *,
        clock: Clock,
        random: Random,
        kick: Callable[[], None] = lambda: None,
    ) -> None:
        self._database = database
        self._session = session
        self._recorder = recorder
        self._sealer = sealer
        self._policy = policy
        self._clock = clock
        self._random = random
        self.kick = kick
        self._loop = asyncio.get_running_loop()
        self._under_way: set[asyncio.Task[None]] = set()
        self._places = Shares(policy.capacity)
        self._paces: dict[str, Pace] = {}
        self._forgets_at = clock() + _FORGETS_EVERY
        self._talks = Talks()
        self.counts: Counter[str] = Counter()

    async def step(self) -> bool:
        """Due deliveries are under way, as many as there is room for. True if there may be more to claim now."""
        room = self._room()
        if self._talks.closed or room < self._policy.capacity // 4:
            return False  # refilled at a low-water mark: `_finish` kicks again
        now, shares = self._clock(), self._places.copy()
        self._forget(now)
        parcels = await self._database.write(
            claim_deliveries, now=now, lease_until=now + self._policy.lease, limit=room, shares=shares
        )
        self._places.refused |= shares.refused
        await self._start(parcels)
        return len(parcels) == room or any(self._places.left_for(account_id) for account_id in shares.refused)

    def reserve(self, account_ids: Sequence[str], now: datetime) -> tuple[str, datetime] | None:
        """A lease for rows about to be committed in this process, if there is room for them."""
        # Nothing is set aside: the transaction may still fail. A few more than `capacity` do no harm.
        many = len(self._under_way) + len(account_ids) > self._policy.capacity * _RESERVABLE_SHARE
        if self._talks.closed or many:
            return None
        if any(count > self._places.left_for(account_id) for account_id, count in Counter(account_ids).items()):
            return None
        return new_id("lease"), now + self._policy.lease

    def take(self, delivery_ids: Sequence[str], lease_token: str) -> None:
        """Rows reserved before are committed: their attempts start at once."""
        tokens = dict.fromkeys(delivery_ids, lease_token)
        self._loop.call_soon_threadsafe(lambda: self._spawn(self._take(tokens)))

    async def drain(self, within: float) -> None:
        """Nothing new starts; what is under way has `within` seconds to finish. What is cut then is handed back.

        A delivery that is handed back is due at once and no attempt is on record, though the endpoint may have seen it.
        """
        await self._talks.drain(self._under_way, within)
        await self._recorder.drain()

    def _room(self) -> int:
        return self._policy.capacity - len(self._under_way)

    async def _take(self, tokens: dict[str, str]) -> None:
        now = self._clock()
        parcels = await self._database.read(load_parcels, tokens, now)
        standing = tokens.keys() - {parcel.delivery_id for parcel in parcels}
        if standing:
            await self._database.write(put_aside, {each: tokens[each] for each in standing}, now)
        await self._start(parcels)

    async def _start(self, parcels: Sequence[Parcel]) -> None:
        """Each parcel's attempt is under way, or the parcel is handed back: its endpoint is busy, or we are closing.

        Where an endpoint's parcels come as a crowd, the rest of them line up as well, before they are claimed.
        """
        too_many: list[tuple[Parcel, datetime]] = []
        for parcel in parcels:
            now = self._clock()
            pace = self._paces.setdefault(parcel.endpoint_id, Pace(self._policy.per_endpoint))
            if self._talks.closed:
                too_many.append((parcel, now))
            elif pace.begin(parcel.rate_limit_per_second, now):
                self._places.hold(parcel.account_id)
                self._spawn(self._deliver(parcel, pace))
            else:
                too_many.append((parcel, pace.next_place(parcel.rate_limit_per_second, now)))
        if too_many:
            await self._database.write(hand_back, too_many)
        if not self._talks.closed:
            turned_away = Counter((parcel.endpoint_id, parcel.rate_limit_per_second) for parcel, _ in too_many)
            for (endpoint_id, per_second), count in turned_away.items():
                if count >= _CROWD:
                    await self._line_up(endpoint_id, per_second)

    async def _line_up(self, endpoint_id: str, per_second: int | None) -> None:
        """The endpoint's due rows, up to a slice, ask again later: it must not delay what others wait for."""
        now, pace = self._clock(), self._paces.setdefault(endpoint_id, Pace(self._policy.per_endpoint))
        if pace.is_open:
            await self._database.write(defer, endpoint_id, now, now + pace.farthest)
        else:
            waiting = await self._database.read(due_deliveries, endpoint_id, now)
            places = [(row, pace.next_place(per_second, now)) for row in waiting]
            await self._database.write(line_up, places, now)

    def _forget(self, now: datetime) -> None:
        """Once a minute, endpoints of which nothing is remembered that still matters leave no trace."""
        if now < self._forgets_at:
            return
        self._forgets_at = now + _FORGETS_EVERY
        self._paces = {endpoint_id: pace for endpoint_id, pace in self._paces.items() if not pace.is_idle(now)}

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._finish)

    def _finish(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled() and (error := task.exception()):
            # The row's lease runs out and it is tried again; nothing is lost, but somebody must hear of it.
            log.error("delivery.crashed", exc_info=error)
        if len(self._under_way) == self._policy.capacity // 2:
            self.kick()

    async def _deliver(self, parcel: Parcel, pace: Pace) -> None:
        try:
            started_at = self._clock()
            outcome = await self._attempt(parcel, started_at)
            tried = self._judge(parcel, started_at, outcome)
            closed = tried.charged and pace.note(tried.ended_at, succeeded=tried.error_class is None)
            recorded = await self._recorder.add(tried)
            if closed:
                await self._database.write(bring_forward, parcel.endpoint_id, self._clock())
                self.kick()
        except Cut:
            await self._give_back(parcel)
            return
        finally:
            pace.end()
            if self._places.release(parcel.account_id):
                self.kick()  # more of its deliveries may be due than it had places for
            if pace.is_idle(self._clock()):
                self._paces.pop(parcel.endpoint_id, None)
        self.counts[tried.state] += 1
        ATTEMPTS.add(tried.error_class or "taken")
        _log_attempt(tried, recorded=recorded)

    async def _give_back(self, parcel: Parcel) -> None:
        self.counts["handed_back"] += 1
        ATTEMPTS.add("handed_back")
        await self._database.write(give_back, parcel, self._clock())
        log.info(
            "delivery.handed_back",
            delivery_id=parcel.delivery_id,
            endpoint_id=parcel.endpoint_id,
            event_id=parcel.event_id,
            detection_id=parcel.detection_id,
            account_id=parcel.account_id,
            mode=parcel.mode,
        )

    async def _attempt(self, parcel: Parcel, now: datetime) -> Outcome:
        try:
            headers = self._headers(parcel, now)
            with on_behalf_of(parcel.account_id):
                return await self._talks.talk(attempt(self._session, parcel.url, parcel.body, headers))
        except Cut:
            raise
        except Exception:
            # A broken seal, or a bug: it counts as a try, so that it goes on by the schedule and comes to an end.
            log.exception("delivery.internal_fault", delivery_id=parcel.delivery_id, endpoint_id=parcel.endpoint_id)
            return Outcome(None, "internal", dict.fromkeys(PHASES))

    def _headers(self, parcel: Parcel, now: datetime) -> dict[str, str]:
        """All headers in clear. Raises where there is nothing to sign with: unsigned, nothing may go out."""
        secrets = open_secrets(self._sealer, parcel.sealed_secrets)
        if not secrets:
            raise RelayError("the endpoint has no valid secret")
        headers = open_headers(self._sealer, parcel.endpoint_id, parcel.sealed_headers)
        return headers | webhook_headers(parcel.event_id, parcel.body, secrets, now)

    def _judge(self, parcel: Parcel, started_at: datetime, outcome: Outcome) -> Tried:
        now = self._clock()
        failed = outcome.error_class is not None
        return Tried(
            parcel=parcel,
            started_at=started_at,
            status_code=outcome.status_code,
            error_class=outcome.error_class,
            phases_ms=outcome.phases_ms,
            excerpt=outcome.excerpt,
            explanation=explain(outcome),
            next_at=self._next(parcel, outcome, now) if failed else None,
            ended_at=now,
            charged=not outcome.is_ours,
        )

    def _next(self, parcel: Parcel, outcome: Outcome, now: datetime) -> datetime | None:
        return next_attempt_at(
            self._policy.retry,
            attempts=parcel.attempts - parcel.attempts_before + 1,
            status_code=outcome.status_code,
            error_class=outcome.error_class,
            retry_after=outcome.retry_after,
            now=now,
            random=self._random,
        )


def _log_attempt(tried: Tried, *, recorded: bool) -> None:
    parcel = tried.parcel
    log.info(
        "delivery.attempted",
        delivery_id=parcel.delivery_id,
        endpoint_id=parcel.endpoint_id,
        event_id=parcel.event_id,
        event_type=parcel.event_type,
        detection_id=parcel.detection_id,
        account_id=parcel.account_id,
        mode=parcel.mode,
        n=parcel.attempts + 1,
        status_code=tried.status_code,
        error_class=tried.error_class,
        phases_ms=dict(tried.phases_ms),
        state=tried.state,
        recorded=recorded,
        took_ms=milliseconds_between(tried.started_at, tried.ended_at),
    )


def give_back(session: Session, parcel: Parcel, now: datetime) -> None:
    """The delivery is due now and nobody's; whoever carries webhooks is woken."""
    hand_back(session, [(parcel, now)])
    wakes(session, TOPIC)
