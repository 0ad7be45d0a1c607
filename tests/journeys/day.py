"""A day of detections in minutes: the real dispatcher, poller, callbacks and gates on a clock that only we turn.

The vendors count what reaches them. Nothing sleeps for real; the work of one moment is done before the next begins.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from math import ceil
from random import Random
from typing import Any

from sqlalchemy import text
from sqlmodel import Session, col, func, select

from service import resources
from service.callbacks.correlate import match_parked
from service.callbacks.intake import TOPIC as CALLBACKS
from service.callbacks.intake import callbacks_seen, store_callbacks
from service.callbacks.process import CallbackProcessor
from service.detections.submit import submit
from service.detectors.catalogue import Catalogue, ConfiguredVendor, VendorPolicy
from service.detectors.vendor import VendorSettings
from service.events.outbox import Outbox
from service.kit.db.database import Database
from service.media.store import DatabaseStore
from service.runs.followers import FollowerTeller
from service.runs.policy import DetectionPolicy
from service.runs.state.models import RUN_DISPATCHABLE, RUN_POLLABLE, Run
from service.runs.topics import TOPIC_FOLLOWERS, TOPIC_POLLS, TOPIC_RUNS
from service.vendor_calls.dispatch import Dispatcher
from service.vendor_calls.poll import Poller
from service.vendor_calls.run_context import RunContextBuilder
from service.vendors.aippim.settings import AippimSettings
from service.vendors.asc.settings import AscSettings
from tests.detections.rows import Addresses, add_media, question
from tests.journeys.day_vendors import Busy, SimulatedTime, aippim_of_the_day, asc_of_the_day

MIDNIGHT = datetime(2026, 11, 20, tzinfo=UTC)
A_DAY = 24 * 3600
FULL_SIZE = 4000
_GRID = 6  # seconds: what comes due within them is done together
_ROOM = 1000  # so that no loop ever waits for a place of its own


@dataclass(frozen=True, slots=True)
class Plan:
    """When detections come: in bursts, the rest evenly by chance. A few are about audio that came before."""

    size: int
    detectors: Sequence[str] = ("aippim/standard", "asc")
    bursts: Sequence[int] = (9, 20)  # at these hours
    burst: int = 100
    repeats: float = 0.03
    slowest_upload: float = 40.0
    asc_unknown_outcomes: float = 0.0
    seed: int = 1

    @property
    def asc_a_day(self) -> int:
        """The documented quota, in the share of the full size."""
        return ceil(10_000 * self.size / FULL_SIZE)

    def arrivals(self, random: Random) -> list[datetime]:
        bursts = [at * 3600 for at in self.bursts for _ in range(min(self.burst, self.size // 3))]
        spread = [random.uniform(0, A_DAY) for _ in range(self.size - len(bursts))]
        return [MIDNIGHT + timedelta(seconds=at) for at in sorted([*bursts, *spread])]


@dataclass
class Loop:
    """One of the worker's loops: when it is woken, or something of its is due, it steps."""

    step: Callable[[], Awaitable[bool]]
    woken: asyncio.Event
    waiting: str | None = None  # the predicate of its due runs


@dataclass
class Day:
    """A day, from its first arrival until nothing is left to be done."""

    database: Database
    plan: Plan
    time: SimulatedTime = field(default_factory=lambda: SimulatedTime(MIDNIGHT))

    def __post_init__(self) -> None:
        self.random = Random(self.plan.seed)
        self.asc = asc_of_the_day(self.time, self.random, self.plan.asc_a_day)
        self.asc.unknown_outcomes = self.plan.asc_unknown_outcomes
        self.aippim = aippim_of_the_day(self.time, self.random, self.plan.slowest_upload)
        self.vendors: Sequence[Busy] = (self.aippim, self.asc)
        asc = ConfiguredVendor(self.asc, _policy(AscSettings, daily_quota=self.plan.asc_a_day))
        vendors = {("live", "aippim"): ConfiguredVendor(self.aippim, _policy(AippimSettings)), ("live", "asc"): asc}
        self.policy = DetectionPolicy(
            catalogue=Catalogue(vendors),
            outbox=Outbox(),
            random=self.random.random,
            callbacks_seen=callbacks_seen,
            on_names_known=[match_parked],
        )
        contexts = RunContextBuilder(DatabaseStore(self.database), Addresses(), frozenset())
        self.dispatcher = Dispatcher(self.database, self.policy, contexts, clock=self.time, capacity=_ROOM)
        self.poller = Poller(self.database, self.policy, contexts, clock=self.time, capacity=_ROOM)
        self.callbacks = CallbackProcessor(self.database, self.policy, self.time)
        self.followers = FollowerTeller(self.database, self.policy, self.time)
        self.recordings: list[str] = []
        self.asked: list[str] = []

    async def live(self) -> None:
        """All that came has been dealt with."""
        wake = self.database.wake
        wake.attach()
        loops = [
            Loop(self.dispatcher.step, wake.subscribe(TOPIC_RUNS), RUN_DISPATCHABLE),
            Loop(self.poller.step, wake.subscribe(TOPIC_POLLS), RUN_POLLABLE),
            Loop(self.callbacks.step, wake.subscribe(CALLBACKS)),
            Loop(self.followers.step, wake.subscribe(TOPIC_FOLLOWERS)),
        ]
        arrivals = self.plan.arrivals(self.random)
        due: Sequence[datetime | None] = ()
        while (moment := self._next(due, arrivals)) is not None:
            self.time.turn_to(moment)
            count = sum(1 for _ in _until(arrivals, moment))
            if count:
                await self.database.write(self._ask, count)
            calls = [call for vendor in self.vendors for call in vendor.due_calls()]
            if calls:
                await self.database.write(store_callbacks, calls)
            due = await self._work(loops)

    def _next(self, due: Sequence[datetime | None], arrivals: Sequence[datetime]) -> datetime | None:
        calls = [vendor.calls[0][0] for vendor in self.vendors if vendor.calls]
        moments = [at for at in (*due, *calls, self.time.next, *arrivals[:1]) if at is not None]
        return _rounded(min(moments)) if moments else None

    async def _work(self, loops: Sequence[Loop]) -> Sequence[datetime | None]:
        """Whatever can be done at this moment is done, and who still talks to a vendor sleeps. What is due next."""
        while True:
            await self._quiet()
            due = await self.database.read(_first_due, [loop.waiting for loop in loops if loop.waiting])
            ready = [loop for loop, at in zip(loops, (*due, None, None), strict=True)
                     if loop.woken.is_set() or (at is not None and at <= self.time())]  # fmt: skip
            if not ready:
                return due
            for loop in ready:
                loop.woken.clear()
                while await loop.step():
                    pass

    async def _quiet(self) -> None:
        while len(tasks := {*self.dispatcher._under_way, *self.poller._under_way}) > self.time.asleep:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED, timeout=0.002)

    def _ask(self, session: Session, count: int) -> None:
        for _ in range(count):
            known = self.recordings and self.random.random() < self.plan.repeats
            if not known:
                self.recordings.append(add_media(session, created_at=self.time()).id)
            media_id = self.random.choice(self.recordings[-50:]) if known else self.recordings[-1]
            asked = question(detectors=self.plan.detectors, media_id=media_id)
            self.asked.append(submit(session, asked, self.policy, self.time()).id)

    def runs(self) -> list[Run]:
        with self.database.reading() as session:
            return list(session.exec(select(Run).order_by(col(Run.id))).all())

    def summary(self) -> str:
        """What the vendors saw, in a line each."""
        ends = Counter(f"{run.vendor} {run.state} {run.reason_code or ''}".strip() for run in self.runs())
        seen = [
            f"{one.vendor}: {len(one.came)} requests, at most {one.most_in_a_minute} a minute, "
            f"{one.most_in_a_day} a day, {one.most_at_once} at once of {len(one.jobs)}, refused {dict(one.refused)}"
            for one in self.vendors
        ]
        return "\n".join([f"until {self.time():%d %H:%M}", *seen, f"{dict(ends)}"])


def _first_due(session: Session, waiting: Sequence[str]) -> list[datetime | None]:
    return [session.exec(select(func.min(col(Run.due_at))).where(text(one))).one() for one in waiting]


def _until(arrivals: list[datetime], moment: datetime) -> Iterator[datetime]:
    while arrivals and arrivals[0] <= moment:
        yield arrivals.pop(0)


def _rounded(moment: datetime) -> datetime:
    return MIDNIGHT + timedelta(seconds=ceil((moment - MIDNIGHT).total_seconds() / _GRID) * _GRID)


def _policy(chosen: type[VendorSettings], **limits: Any) -> VendorPolicy:
    """Our own defaults for this vendor, whatever the environment says."""
    policy = resources._policy(chosen.model_construct(), at_twin=False)
    return replace(policy, limits=replace(policy.limits, **limits))
