"""Vendors of a hammered deployment: they take, lose, refuse, delay and call back by chance, and remember all of it."""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Any

from service.detectors.port import CallbackRefs, Capabilities, Needs, Raw, RunContext
from tests.detections.scripted import Scripted, lost, not_sent, raw
from tests.journeys.day_vendors import SimulatedTime

Call = Callable[[str, bytes], Awaitable[None]]
"""Posts a body to an address of ours."""

WORDS = ("ai", "human", "short", "broken")
_ODDS = (45, 45, 6, 4)
_SLOW_SECONDS = 250.0
_OPPOSITE = {"ai": "human", "human": "ai", "short": "ai", "broken": "human"}
# What becomes of a submission, and how often in a hundred.
_FATES = {
    "accepted": 73,
    "not_sent": 4,
    "later": 6,  # a whole answer that says: later
    "full": 3,  # the same, with the vendor's own time for it
    "refused": 2,
    "lost_before": 4,  # no answer came, and the vendor has not taken it
    "lost_after": 8,  # no answer came, though it has
}
_WAYS = {"plain": 50, "doubled": 15, "contradicting": 15, "unfinished": 10, "of_another_job": 5, "of_no_job": 5}


@dataclass(frozen=True, slots=True)
class Job:
    """One analysis at a vendor, and when it began and is done there, in seconds since the epoch."""

    id: str
    run_id: str
    taken_at_seconds: float
    done_at_seconds: float
    word: str
    callback_url: str

    @property
    def is_slow(self) -> bool:
        """Return True if it may take longer than the one who asks will wait."""
        return self.done_at_seconds - self.taken_at_seconds >= _SLOW_SECONDS


@dataclass
class Erratic(Scripted):
    """A vendor of one step, or of two, which answers later; or at once, where it calls nobody back."""

    time: SimulatedTime = field(default_factory=lambda: SimulatedTime(raw({}).received_at))
    random: Random = field(default_factory=Random)
    call: Call | None = None
    account_url: str = ""
    calm: bool = False
    twins: bool = False
    """Whether it now and then names a job that it named before."""
    jobs: dict[str, Job] = field(default_factory=dict)
    taken_of: Counter[str] = field(default_factory=Counter)
    """By run: how many of its submissions were taken, or may have been, as far as the sender can know."""
    lost: list[Job] = field(default_factory=list)
    """Jobs that their sender does not know of."""
    talking: int = 0
    _numbers: "count[int]" = field(default_factory=count)

    async def prepare(self, ask: RunContext) -> Raw:
        with self._talk():
            await self._dawdle()
            if self._happens(0.04):
                raise not_sent()
            return self._say({}, 503) if self._happens(0.06) else self._say({"ref": ask.run_id})

    async def submit(self, ask: RunContext) -> Raw:
        with self._talk():
            fate = "accepted" if self.calm else self.random.choices([*_FATES], [*_FATES.values()])[0]
            await self._dawdle()
            if fate == "not_sent":
                raise not_sent()
            if fate in ("later", "full", "refused"):
                return self._refuse(fate)
            self.taken_of[ask.run_id] += 1
            if fate == "lost_before":
                raise lost()
            if self.taken.callbacks is None:
                return self._say({"said": self._word()})
            job = self._take(ask)
            if self._happens(0.25):
                await self.call_back(job)  # before anybody here knows the job
            await self._dawdle()
            if fate == "lost_after":
                self.lost.append(job)
                raise lost()
            named = self.random.choice([*self.jobs]) if self.twins and self._happens(0.05) else job.id
            return self._say({"job": named, "estimate": None})

    async def fetch(self, ask: RunContext) -> Raw:
        with self._talk():
            await self._dawdle()
            if self._happens(0.03):
                raise not_sent() if self._happens(0.5) else lost()
            if self._happens(0.05):
                return self._say({}, 503)
            job = self.jobs.get(ask.vendor_job_id or "")
            if job is None:
                return self._say({"error": "no such job"}, 404)
            over = self.calm or self._now() >= job.done_at_seconds
            return self._say({"said": job.word if over else "odd" if self._happens(0.1) else "running"})

    async def call_back(self, job: Job, way: str | None = None) -> None:
        """Call about this job, in one of the ways that were met."""
        assert self.call is not None
        way = way or self.random.choices([*_WAYS], [*_WAYS.values()])[0]
        said: dict[str, Any] = {"said": job.word, "job": job.id}
        if way == "contradicting":
            said["said"] = _OPPOSITE[job.word]
        elif way == "unfinished":
            said["said"] = "running"
        elif way == "of_another_job":
            said["job"] = self.random.choice([*self.jobs])
        elif way == "of_no_job":
            said["job"] = f"{self.vendor}-stranger-{next(self._numbers)}"
        times = 2 if way == "doubled" else 1
        body = json.dumps(said).encode()
        await asyncio.gather(*(self.call(job.callback_url, body) for _ in range(times)))

    def refs(self, body: Mapping[str, object]) -> CallbackRefs | None:
        job = body.get("job")
        return CallbackRefs(job if isinstance(job, str) else None)

    def _take(self, ask: RunContext) -> Job:
        spent = self.random.uniform(0, 120)
        job = Job(
            id=f"{self.vendor}-{next(self._numbers)}",
            run_id=ask.run_id,
            taken_at_seconds=self._now(),
            done_at_seconds=self._now() + (self.random.uniform(_SLOW_SECONDS, 400) if self._happens(0.2) else spent),
            word=self._word(),
            callback_url=ask.callback_url or self.account_url,
        )
        self.jobs[job.id] = job
        return job

    def _refuse(self, fate: str) -> Raw:
        if fate == "full":
            return self._say({"error": "slow down"}, 429, retry_after="20")
        return self._say({"error": "no"}, 503 if fate == "later" else 400)

    async def _dawdle(self) -> None:
        """Take a moment; now and then so long that the caller's lease is over by then, if the clock goes on."""
        if self._happens(0.05):
            await self.time.sleep(self.random.uniform(1, 150))
        elif self._happens(0.3):
            await asyncio.sleep(self.random.uniform(0, 0.01))

    @contextmanager
    def _talk(self) -> Any:
        self.talking += 1
        try:
            yield
        finally:
            self.talking -= 1

    def _word(self) -> str:
        return self.random.choices(WORDS, _ODDS)[0]

    def _happens(self, chance: float) -> bool:
        return not self.calm and self.random.random() < chance

    def _now(self) -> float:
        return self.time().timestamp()

    def _say(self, body: object, status: int = 200, **headers: str) -> Raw:
        return raw(body, status, at=self.time(), **headers)


def vendors(time: SimulatedTime, random: Random, *, twins: bool = False) -> list[Erratic]:
    """Return three: one address for each run, one for all runs with a first step, and one that answers at once."""
    more: dict[str, Any] = {"time": time, "random": random, "twins": twins}
    by_run = Capabilities(frozenset({"wav"}), Needs.LINK, callbacks="run")
    by_account = Capabilities(frozenset({"wav"}), Needs.UPLOAD, prepares=True, callbacks="account")
    at_once = Capabilities(frozenset({"wav"}), Needs.UPLOAD)
    return [
        Erratic("asc", ("asc",), by_run, **more),
        Erratic("aippim", ("aippim/standard", "aippim/pro"), by_account, **more),
        Erratic("pex", ("pex",), at_once, **more),
    ]
