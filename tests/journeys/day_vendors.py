"""ASC and AIPPIM as their documents print their limits, on a clock that a test turns. They refuse whatever is more.

ASC (api-docs, Pro): 10,000 requests a UTC day, 10 jobs at once. AIPPIM (rate limits, paid): 100 requests a minute.
"""

import asyncio
import heapq
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random

from service.callbacks.intake import Arrived
from service.detectors.enums import Authenticity
from service.detectors.port import Capabilities, Needs, Raw, RunContext
from tests.detections.scripted import NOW, Scripted, job, lost, not_sent, raw

_MINUTE = timedelta(minutes=1)
_WORDS = ("ai", "human", "short", "broken")
_ODDS = (40, 56, 3, 1)


@dataclass
class SimulatedTime:
    """A clock, and who sleeps until when. Nothing passes but by `turn_to`."""

    now: datetime
    _sleepers: list[tuple[datetime, int, asyncio.Future[None]]] = field(default_factory=list)
    _turn: int = 0

    def __call__(self) -> datetime:
        return self.now

    @property
    def asleep(self) -> int:
        """How many sleep."""
        return len(self._sleepers)

    @property
    def next(self) -> datetime | None:
        """When the first of them wakes."""
        return self._sleepers[0][0] if self._sleepers else None

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.get_running_loop().create_future()
        self._turn += 1
        heapq.heappush(self._sleepers, (self.now + timedelta(seconds=seconds), self._turn, woken))
        await woken

    def turn_to(self, moment: datetime) -> None:
        """It is that time, and who slept until then is awake."""
        self.now = max(self.now, moment)
        while self._sleepers and self._sleepers[0][0] <= self.now:
            heapq.heappop(self._sleepers)[2].set_result(None)


@dataclass(frozen=True, slots=True)
class Job:
    """One analysis at the vendor."""

    id: str
    run_id: str
    taken_at: datetime
    done_at: datetime
    word: str


@dataclass
class Busy(Scripted):
    """A vendor of a busy day: it takes its time, calls back nearly always, stumbles now and then, and counts."""

    time: SimulatedTime = field(default_factory=lambda: SimulatedTime(NOW))
    random: Random = field(default_factory=Random)
    per_minute: int | None = None
    per_day: int | None = None
    places: int | None = None
    slowest_upload: float = 0.0
    unknown_outcomes: float = 0.0  # the share of submissions that are taken, and nobody hears of it
    came: list[datetime] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)  # by run: submissions that were, or may have been, taken
    jobs: dict[str, Job] = field(default_factory=dict)
    calls: list[tuple[datetime, str]] = field(default_factory=list)

    async def prepare(self, ask: RunContext) -> Raw:
        if (refusal := self._count()) is not None:
            return refusal
        await self.time.sleep(self.random.uniform(0, self.slowest_upload))
        return self._say({"ref": ask.run_id})

    async def submit(self, ask: RunContext) -> Raw:
        chance = self.random.random()
        if chance < 0.01:
            raise not_sent()
        if (refusal := self._count() or self._full()) is not None:
            return refusal
        if chance < 0.02:
            return self._say({}, 503)
        self.left[ask.run_id] += 1
        taken = self._take(ask)
        if chance > 1 - self.unknown_outcomes:
            raise lost()
        return job(taken.id, 30)

    async def fetch(self, ask: RunContext) -> Raw:
        if (refusal := self._count()) is not None:
            return refusal
        assert ask.vendor_job_id is not None
        found = self.jobs[ask.vendor_job_id]
        return self._say({"said": found.word if found.done_at <= self.time() else "running"})

    def due_calls(self) -> Iterator[Arrived]:
        """The callbacks that come now. ASC's names the run by its address, AIPPIM's the job."""
        while self.calls and self.calls[0][0] <= self.time():
            one = self.jobs[heapq.heappop(self.calls)[1]]
            by_run = self.taken.callbacks == "run"
            yield Arrived(
                mode="live",
                vendor=self.vendor,
                subject=one.run_id if by_run else one.id,
                job_id=one.id,
                body=self._say({"said": one.word, "job": one.id}).body,
                headers={"content-type": "application/json"},
                authenticity=(Authenticity.URL_TOKEN if by_run else Authenticity.BODY_HMAC).value,
                received_at=self.time(),
            )

    @property
    def most_in_a_minute(self) -> int:
        """The most requests within any 60 seconds."""
        return max((bisect_right(self.came, at + _MINUTE) - n for n, at in enumerate(self.came)), default=0)

    @property
    def most_in_a_day(self) -> int:
        """The most requests from midnight to midnight UTC."""
        return max(Counter(at.date() for at in self.came).values(), default=0)

    @property
    def most_at_once(self) -> int:
        """The most jobs under way at a time."""
        steps = [(one.taken_at, 1) for one in self.jobs.values()] + [(one.done_at, -1) for one in self.jobs.values()]
        count = most = 0
        for _, change in sorted(steps):
            count += change
            most = max(most, count)
        return most

    def _take(self, ask: RunContext) -> Job:
        now = self.time()
        slow = self.random.random() < 0.02
        spent = timedelta(seconds=self.random.uniform(200, 500) if slow else self.random.uniform(20, 36))
        word = self.random.choices(_WORDS, _ODDS)[0]
        taken = Job(f"{self.vendor}-{len(self.jobs)}", ask.run_id, now, now + spent, word)
        self.jobs[taken.id] = taken
        if self.random.random() < 0.96:
            heapq.heappush(self.calls, (taken.done_at + timedelta(seconds=1), taken.id))
        return taken

    def _count(self) -> Raw | None:
        now = self.time()
        self.came.append(now)
        lately = len(self.came) - bisect_right(self.came, now - _MINUTE)
        today = len(self.came) - bisect_right(self.came, now.replace(hour=0, minute=0, second=0) - timedelta(seconds=1))
        if self.per_minute is not None and lately > self.per_minute:
            return self._refuse("minute", 60)
        if self.per_day is not None and today > self.per_day:
            return self._refuse("day", 3600)
        return None

    def _full(self) -> Raw | None:
        under_way = sum(one.done_at > self.time() for one in self.jobs.values())
        return self._refuse("places", 10) if self.places is not None and under_way >= self.places else None

    def _refuse(self, limit: str, seconds: int) -> Raw:
        self.refused[limit] += 1
        return raw({}, 429, at=self.time(), retry_after=str(seconds))

    def _say(self, body: object, status: int = 200) -> Raw:
        return raw(body, status, at=self.time())


def asc_of_the_day(time: SimulatedTime, random: Random, per_day: int) -> Busy:
    """One step, an address for each run, ten jobs at once."""
    return Busy(time=time, random=random, per_day=per_day, places=10)


def aippim_of_the_day(time: SimulatedTime, random: Random, slowest_upload: float) -> Busy:
    """Two steps, of which the first takes a while, and one address for all runs."""
    taken = Capabilities(frozenset({"wav"}), Needs.UPLOAD, prepares=True, callbacks="account")
    return Busy(
        vendor="aippim",
        detectors=("aippim/standard",),
        taken=taken,
        time=time,
        random=random,
        per_minute=100,
        slowest_upload=slowest_upload,
        unknown_outcomes=0.01,
    )
