"""One slow vendor takes no other vendor's places, neither for submissions nor for polls; nor does one broken run."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from sqlmodel import select
from structlog.testing import capture_logs

from service.detectors.catalogue import Limits
from service.detectors.port import Capabilities, Raw, RunContext
from service.kit.db.database import Database
from service.runs.state.models import Run
from tests.at_work import RealTime, started
from tests.detections.rows import World, world
from tests.detections.scripted import Scripted, aippim, asc, job, lost, said
from tests.detections.sharing import ask, recording
from tests.waiting import until

_CROWD = 40
_USUAL_SECONDS = 2.0


def _busy(database: Database, slow: Scripted, quick: Scripted) -> tuple[World, str]:
    """A crowd at one vendor, due first, and one run at another."""
    here = world(database, slow, quick)
    here = World(database, here.policy, RealTime())
    media_id = recording(here)
    for _ in range(_CROWD):
        ask(here, media_id, "aippim/standard", force=True)
    return here, ask(here, media_id, "asc", force=True)


def _wait_at_their_vendors(here: World, quick: str) -> None:
    """Every run was taken a while ago and is due to be asked for; the quick vendor's last."""
    now = here.clock()
    with here.database.writing() as session:
        for n, run in enumerate(session.exec(select(Run))):
            run.state, run.vendor_job_id, run.submit_started_at, run.submitted_at = "waiting", f"j{n}", now, now
            run.due_at = now if run.detection_id == quick else now - timedelta(seconds=5)


def _held_until(release: asyncio.Event) -> Callable[[RunContext], Awaitable[Raw]]:
    """A vendor that has the request, and drops it at the test's end."""

    async def held(_context: RunContext) -> Raw:
        await release.wait()
        raise lost()

    return held


async def _done(here: World, release: asyncio.Event, is_done: Callable[[], bool]) -> None:
    async with started(here):
        try:
            await until(is_done, seconds=_USUAL_SECONDS)
        finally:
            release.set()


async def test_uploads_that_hang_at_one_vendor_keep_no_run_from_another(database: Database) -> None:
    release = asyncio.Event()
    slow, quick = aippim(prepares=[_held_until(release)] * _CROWD), asc(submits=[job("j")])
    here, _ = _busy(database, slow, quick)
    await _done(here, release, lambda: quick.times("submit") == 1)


async def test_polls_that_hang_at_one_vendor_keep_no_answer_from_another(database: Database) -> None:
    release = asyncio.Event()
    slow, quick = aippim(fetches=[_held_until(release)] * _CROWD), asc(fetches=[said("human")])
    here, detection_id = _busy(database, slow, quick)
    _wait_at_their_vendors(here, detection_id)
    await _done(here, release, lambda: here.detection(detection_id).verdict == "no_ai_detected")


@dataclass
class Broken(Scripted):
    """A vendor whose adapter fails at what one run asks for, as after an upgrade that dropped a detector."""

    upgraded: bool = False

    def capabilities(self, detector: str) -> Capabilities:
        if self.upgraded and detector == "aippim/pro":
            raise ValueError(f"no detector of ours: {detector}")
        return super().capabilities(detector)


async def test_a_run_that_cannot_be_claimed_keeps_no_other_from_its_vendor(database: Database) -> None:
    vendor = Broken("aippim", ("aippim/standard", "aippim/pro"), submits=[job("j1")])
    here = world(database, vendor, limits=Limits(per_minute=100))
    here.submit("aippim/pro")
    here.clock.turn(1)
    here.submit("aippim/standard")
    vendor.upgraded = True
    with suppress(ValueError), capture_logs():
        await here.dispatch()
    await here.dispatch()  # what the first did not wait for, because it raised
    assert sorted(run.state for run in here.runs()) == ["queued", "waiting"]
