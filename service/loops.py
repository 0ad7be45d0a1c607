"""What a process at work does: a table of loops, each with the queue it empties or the clock it goes by.

This table is the contents page of the service. Whether the queues have anything due is asked in one statement for all:
a loop claims, which is a write, where there is something to claim.
"""

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy import Select

from service.callbacks.intake import TOPIC as CALLBACKS
from service.callbacks.models import CALLBACK_WAITING, Callback
from service.callbacks.process import TOPIC_HANDED, CallbackProcessor
from service.certificates.check import CertificateChecker
from service.certificates.issue import TOPIC as CERTIFICATES
from service.detections.changes import emit_delayed, expire_overdue, overdue_runs, unannounced_delays
from service.kit.db.alone import Alone
from service.kit.db.columns import table_of
from service.kit.db.queues import at_once_where, first_due
from service.media.erase import Leftovers
from service.quotas.models import Gate
from service.resources import Resources
from service.retention.prune import Pruner, Retention
from service.runs.followers import FollowerTeller
from service.runs.runner import Runner
from service.runs.state.models import (
    CERTIFICATE_ANNOUNCED,
    DELAY_UNANNOUNCED,
    FOLLOWERS_DUE,
    RUN_DISPATCHABLE,
    RUN_POLLABLE,
    SOURCE_WAITING,
    Certificate,
    Detection,
    Run,
)
from service.runs.topics import TOPIC_FOLLOWERS, TOPIC_POLLS, TOPIC_RUNS, TOPIC_SOURCES
from service.vendor_calls.ask_quotas import QuotaAsker
from service.vendor_calls.dispatch import Dispatcher
from service.vendor_calls.fetch_source import SourceFetcher
from service.vendor_calls.poll import Poller
from service.webhooks.endpoints.health import DisablePolicy, endpoints_to_judge, judge
from service.webhooks.fanout import TOPIC as DELIVERIES
from service.webhooks.models import DELIVERY_WAITING, Delivery
from service.webhooks.queue.bulk_moves import hold_deliveries, stopped_endpoints
from service.webhooks.queue.requeue import endpoints_to_release, release_held
from service.webhooks.sending.deliver import Deliverer, DeliveryPolicy
from service.webhooks.sending.retry import RetryPolicy

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Loop:
    """One duty. `step` does a round and returns whether there may be more.

    A round starts at a wake of `topic`, when a row that `due` selects is due, and each `every` seconds.
    """

    name: str
    step: Callable[[], Awaitable[bool]]
    topic: str | None = None
    due: tuple[Select[Any], ...] = ()
    every: float | None = None


def _queue(name: str, topic: str | None, step: Callable[[], Awaitable[bool]], *due: Select[Any]) -> Loop:
    return Loop(name, step, topic, due)


def _clocked(name: str, every: float, step: Callable[[], Awaitable[bool]]) -> Loop:
    return Loop(name, step, every=every)


_RUNS, _DELIVERIES = table_of(Run), table_of(Delivery)
_SOURCE_DUE = first_due(table_of(Detection), SOURCE_WAITING)
_RUN_DUE = first_due(_RUNS, RUN_DISPATCHABLE)
_AT_A_GATE = at_once_where(table_of(Gate), "queue_until IS NOT NULL")  # it may let one through before that one is due
_CALLBACK_DUE = first_due(table_of(Callback), CALLBACK_WAITING)
_POLL_DUE = first_due(_RUNS, RUN_POLLABLE)
_FOLLOWERS_DUE = first_due(_RUNS, FOLLOWERS_DUE, "followers_due_at")
_CERTIFICATE_DUE = first_due(table_of(Certificate), CERTIFICATE_ANNOUNCED)
_FRESH_DUE = first_due(_DELIVERIES, f"{DELIVERY_WAITING} AND lane = 'fresh'")
_RETRY_DUE = first_due(_DELIVERIES, f"{DELIVERY_WAITING} AND lane = 'retry'")
_DELAY_DUE = first_due(table_of(Detection), DELAY_UNANNOUNCED, "delay_due_at")


class Loops:
    """The loops of one process, and what they are made of."""

    def __init__(self, resources: Resources, holder: str = "") -> None:
        """`holder` begins the lease tokens of the runs that this process claims."""
        self._resources = resources
        database, clock = resources.database, resources.clock
        settings = resources.settings
        self.sources = SourceFetcher(
            database,
            resources.policy,
            resources.store,
            resources.source_session,
            resources.guard,
            clock,
            rooms=resources.rooms,
        )
        runner = Runner(database, resources.policy, clock)
        self.dispatcher = Dispatcher(
            database, resources.policy, resources.contexts, clock=clock, runner=runner, holder=holder
        )
        self.poller = Poller(database, resources.policy, resources.contexts, clock=clock, runner=runner, holder=holder)
        self._followers = FollowerTeller(database, resources.policy, clock)
        self.callbacks = CallbackProcessor(database, resources.policy, clock)
        self._certificates = CertificateChecker(database, resources.policy, clock)
        self._quotas = QuotaAsker(database, resources.policy.catalogue, clock)
        self.deliverer = Deliverer(
            database,
            resources.webhook_session,
            resources.attempts,
            resources.sealer,
            DeliveryPolicy(
                RetryPolicy(settings.webhook_retry_seconds, settings.webhook_throttled_floor_seconds),
                timeout=settings.webhook_timeout_seconds,
            ),
            clock=clock,
            random=random.random,
            kick=lambda: database.wake.notify([DELIVERIES]),
        )
        self._pruner = Pruner(
            database,
            resources.store,
            Retention(
                raw=timedelta(days=settings.raw_retention_days),
                attempts=timedelta(days=settings.attempt_retention_days),
                results=timedelta(days=settings.retention_days),
            ),
            clock,
            leftovers=Leftovers(database, resources.store),
        )
        self._alone = {
            name: Alone(name)
            for name in ("hold deliveries", "release deliveries", "judge endpoints", "tell delays", "expire runs")
        }

    @property
    def drained(self) -> tuple[SourceFetcher, Dispatcher, CallbackProcessor, Poller, Deliverer]:
        """The parts that must finish what they have begun before the process ends."""
        return self.sources, self.dispatcher, self.callbacks, self.poller, self.deliverer

    def table(self) -> Sequence[Loop]:
        """Return what this process does besides showing that it lives, in the order a detection passes through."""
        return (
            _queue("fetch sources", TOPIC_SOURCES, self.sources.step, _SOURCE_DUE),
            _queue("dispatch runs", TOPIC_RUNS, self.dispatcher.step, _RUN_DUE, _AT_A_GATE),
            _queue("process callbacks", CALLBACKS, self.callbacks.step, _CALLBACK_DUE),
            _queue("process callbacks handed over", TOPIC_HANDED, self.callbacks.step_handed),
            _clocked("expire callbacks", 60, self.callbacks.expire),
            _queue("poll vendors", TOPIC_POLLS, self.poller.step, _POLL_DUE),
            _queue("tell followers", TOPIC_FOLLOWERS, self._followers.step, _FOLLOWERS_DUE),
            _queue("check certificates", CERTIFICATES, self._certificates.step, _CERTIFICATE_DUE),
            _clocked("ask quotas", 60, self._quotas.step),
            _queue("deliver webhooks", DELIVERIES, self.deliverer.step, _FRESH_DUE, _RETRY_DUE),
            _clocked("hold deliveries", 5, self._hold),
            _clocked("release deliveries", 5, self._release),
            _clocked("judge endpoints", 60, self._judge),
            _queue("tell delays", None, self._emit_delayed, _DELAY_DUE),
            _clocked("expire runs", 15, self._expire),
            _clocked("prune", 60, self._pruner.step),
        )

    async def _hold(self) -> bool:
        database, now = self._resources.database, self._resources.clock()
        return await self._alone["hold deliveries"].deal(
            lambda _: database.read(stopped_endpoints),
            lambda endpoint_id: database.write(hold_deliveries, endpoint_id, now),
            now,
        )

    async def _emit_delayed(self) -> bool:
        database, now = self._resources.database, self._resources.clock()

        async def emit(detection_id: str) -> None:
            if await database.write(emit_delayed, detection_id, self._resources.policy, now):
                log.info("detection.delayed", detection_id=detection_id)

        return await self._alone["tell delays"].deal(
            lambda left_out: database.read(unannounced_delays, now=now, but=left_out), emit, now
        )

    async def _release(self) -> bool:
        database, now = self._resources.database, self._resources.clock()
        return await self._alone["release deliveries"].deal(
            lambda _: database.read(endpoints_to_release),
            lambda endpoint_id: database.write(release_held, endpoint_id, now),
            now,
        )

    async def _judge(self) -> bool:
        database, now, policy = self._resources.database, self._resources.clock(), DisablePolicy()
        return await self._alone["judge endpoints"].deal(
            lambda _: database.read(endpoints_to_judge, policy, now),
            lambda endpoint_id: database.write(judge, endpoint_id, self._resources.outbox, policy, now),
            now,
        )

    async def _expire(self) -> bool:
        database, now = self._resources.database, self._resources.clock()

        async def expire(run_id: str) -> None:
            log.error("run.overdue", run_id=run_id)
            await database.write(expire_overdue, run_id, self._resources.policy, now)

        return await self._alone["expire runs"].deal(
            lambda left_out: database.read(overdue_runs, now=now, but=left_out), expire, now
        )
