"""What clients, vendors and the clock do to a hammered deployment, in an order that a seed decides."""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Any

import httpx

from tests.journeys.hammer import DEADLINE_SECONDS, REPEATED_AFTER_SECONDS, Hammer
from tests.journeys.hammer_target import recording

_DETECTORS = ("asc", "aippim/standard", "aippim/pro", "pex")
_RECENT = 30
_ACTS = {
    "submit": 24,
    "submit_twice": 3,
    "submit_as_a_crowd": 4,
    "upload": 8,
    "cancel": 8,
    "recheck": 6,
    "erase": 5,
    "call_back": 22,
    "race_a_repetition": 4,
    "race_a_deadline": 3,
    "leap": 12,
    "read": 6,
    "switch_endpoint": 4,
    "send_again": 3,
}


@dataclass
class Asked:
    """What the clients know between them: recordings and detections, the newest last."""

    recordings: list[str] = field(default_factory=list)
    detections: list[str] = field(default_factory=list)
    numbers: "count[int]" = field(default_factory=count)


@dataclass
class Client:
    """One client of one process, which does one thing after another."""

    here: Hammer
    asked: Asked
    client: httpx.AsyncClient
    random: Random

    async def work(self, go_on: Callable[[], bool]) -> None:
        while go_on():
            await getattr(self, self.random.choices([*_ACTS], [*_ACTS.values()])[0])()

    async def submit(self) -> None:
        await self._post(self._question(), {})

    async def submit_twice(self) -> None:
        """The same question at once under one key: one detection, whoever comes first."""
        body, key = self._question(), {"Idempotency-Key": f"key-{next(self.asked.numbers)}"}
        made = await asyncio.gather(self._post(body, key, 409), self._post(body, key, 409))
        different = {one for one in made if one is not None}
        if len(different) > 1 or not (different or self.here.weather.cuts):
            self.here.faults.append(f"one key, several answers: {made}")

    async def submit_as_a_crowd(self) -> None:
        """The same question several times at once: one of them leads. Perhaps it is called off."""
        body = self._question() | {"detectors": [self.random.choice(_DETECTORS)], "decision": {}, "force": False}
        made = await asyncio.gather(*(self._post(body, {}) for _ in range(self.random.randrange(3, 7))))
        if made[0] is not None and self.random.random() < 0.4:
            await self.here.ask(self.client, (200, 409), "POST", f"/v1/detections/{made[0]}/cancel")

    async def upload(self) -> None:
        sound = {"file": ("song.wav", recording(next(self.asked.numbers)))}
        made = await self.here.ask(self.client, (200, 201), "POST", "/v1/media", files=sound)
        if "id" in made:
            self.asked.recordings.append(made["id"])

    async def cancel(self) -> None:
        await self._act("POST", "/cancel", 200, 409)

    async def recheck(self) -> None:
        await self._act("POST", "/recheck", 202, 409)

    async def erase(self) -> None:
        await self._act("DELETE", "", 204, 409)

    async def read(self) -> None:
        await self._act("GET", self.random.choice(["", "", "/timeline"]), 200)

    async def call_back(self) -> None:
        """A vendor calls back about one of its last jobs, finished or not, called about or not."""
        vendor = self.random.choice([one for one in self.here.vendors if one.taken.callbacks is not None])
        jobs = [*vendor.jobs.values()][-self.random.choice([3, _RECENT, 2 * _RECENT]) :]
        if self.random.random() < 0.3:  # as late as can be
            jobs = [job for job in jobs if job.taken_at_seconds < self.here.time().timestamp() - DEADLINE_SECONDS]
        if jobs:
            await vendor.call_back(self.random.choice(jobs))

    async def race_a_repetition(self) -> None:
        """Call about a job of which its sender does not know, the moment it is to be submitted once more."""
        lost = [(vendor, vendor.lost.pop()) for vendor in self.here.vendors if vendor.lost]
        if lost:
            await self.here.leap_in_step(REPEATED_AFTER_SECONDS)
            await asyncio.gather(*(vendor.call_back(job, "plain") for vendor, job in lost))

    async def race_a_deadline(self) -> None:
        """Call about a job about when its time is up: a little before, at once, or a little after."""
        vendor = self.random.choice([one for one in self.here.vendors if one.taken.callbacks is not None])
        slow = [job for job in [*vendor.jobs.values()][-_RECENT:] if job.is_slow]
        if slow:
            job = slow[-1]
            left = job.taken_at_seconds + DEADLINE_SECONDS - self.here.time().timestamp()
            await self.here.leap_in_step(left + self.random.uniform(-5, 5))
            if self.random.random() < 0.5:
                await asyncio.sleep(self.random.uniform(0, 0.1))
            await vendor.call_back(job, "plain")

    async def leap(self) -> None:
        """Let the clock go on, seldom beyond a lease or a deadline."""
        far = self.random.random() < 0.15
        await self.here.leap_in_step(self.random.uniform(60, 200) if far else self.random.uniform(1, 25))

    async def switch_endpoint(self) -> None:
        to = self.random.choice(["enable", "disable"])
        # Not "none", which may block others: tests/webhooks/test_release_beside_events.py.
        body = {"release": self.random.choice(["all", "newest"])} if to == "enable" else {}
        await self.here.ask(self.client, (200,), "POST", f"{self._endpoint()}/{to}", json=body)

    async def send_again(self) -> None:
        """Ping, or have all of the last minutes sent again."""
        since = (self.here.time().replace(microsecond=0)).isoformat()
        path, body = self.random.choice([("ping", {}), ("recover", {"since": since})])
        await self.here.ask(self.client, (202, 409), "POST", f"{self._endpoint()}/{path}", json=body)

    async def _post(self, body: dict[str, Any], headers: dict[str, str], *also: int) -> str | None:
        answer = await self.here.ask(self.client, (202, *also), "POST", "/v1/detections", json=body, headers=headers)
        if answer is None or "id" not in answer:
            return None
        detection_id = str(answer["id"])
        self.asked.detections.append(detection_id)
        return detection_id

    async def _act(self, method: str, verb: str, *expected: int) -> None:
        if recent := self.asked.detections[-_RECENT:]:
            path = f"/v1/detections/{self.random.choice(recent)}{verb}"
            await self.here.ask(self.client, expected, method, path)

    def _question(self) -> dict[str, Any]:
        random = self.random
        detectors = random.sample(_DETECTORS, random.choices([1, 2, 3, 4], [45, 30, 15, 10])[0])
        cascade = len({name.partition("/")[0] for name in detectors}) > 1 and random.random() < 0.5
        url = f"{self.here.target.url}/sounds/{random.randrange(6)}.wav"
        shared = random.choice(self.asked.recordings[-2:])  # so that many ask about the same
        return {
            "source": {"url": url} if random.random() < 0.15 else {"media_id": shared},
            "detectors": detectors,
            "decision": {
                "rule": "cascade" if cascade else "consensus",
                "quorum": random.choice([1, 1, min(2, len(detectors))]),
            },
            "answer_within_seconds": random.choice([30, 120, 900]),
            "force": random.random() < 0.1,
        }

    def _endpoint(self) -> str:
        return f"/v1/webhook-endpoints/{self.random.choice([*self.here.target.endpoints.values()])}"


async def strike(here: Hammer, *, times: int | None = None, seconds: float = 0.0, clients: int = 3) -> Asked:
    """Do so many things, or for so long; then let everything settle. Return what was asked."""
    asked, left = Asked(), _countdown(times, seconds)
    everybody = [
        Client(here, asked, process.client, here.random(f"client {number} of {place}"))
        for place, process in enumerate(here.processes)
        for number in range(clients)
    ]
    await here.target.register(here)
    for _ in range(3):
        await everybody[0].upload()
    await here.all_of([one.work(lambda: next(left, False)) for one in everybody])
    return asked


def _countdown(times: int | None, seconds: float) -> Iterator[bool]:
    if times is not None:
        yield from (True for _ in range(times))
    else:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            yield True
