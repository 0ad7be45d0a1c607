"""Workers over a small world: whole, with all their loops, beside vendors that the test scripts."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime

from service.detectors.port import Raw, RunContext
from service.kit.system_clock import system_clock
from service.resources import open_resources
from service.settings import load_settings
from service.worker import Worker, working
from tests.detections.rows import Hands, World


class RealTime(Hands):
    """The clock of this machine."""

    def __call__(self) -> datetime:
        return system_clock()


def hangs(started: asyncio.Event) -> Callable[[RunContext], Awaitable[Raw]]:
    """A vendor that has the request, and never answers."""

    async def never(_context: RunContext) -> Raw:
        started.set()
        await asyncio.Event().wait()
        raise AssertionError

    return never


@asynccontextmanager
async def by_hand(here: World) -> AsyncIterator[Worker]:
    """A worker whose loops the test turns."""
    url = here.database.url.render_as_string(hide_password=False)
    settings = load_settings(secret_keys=("k" * 40,), database_url=url, media_store="database:")
    async with open_resources(settings, here.clock) as resources:
        yield Worker(replace(resources, policy=here.policy))


@asynccontextmanager
async def started(here: World) -> AsyncIterator[Worker]:
    """A worker that has started, and turns its loops itself."""
    url = here.database.url.render_as_string(hide_password=False)
    settings = load_settings(secret_keys=("k" * 40,), database_url=url, media_store="database:")
    async with (
        open_resources(settings, here.clock) as resources,
        working(replace(resources, policy=here.policy)) as worker,
    ):
        yield worker


async def turn(worker: Worker, *names: str) -> None:
    """A round of each of these loops, or of every one, in the table's order."""
    for loop in worker.loops():
        if not names or loop.name in names:
            await loop.step()


async def die_in(here: World, moment: asyncio.Event, *names: str) -> None:
    """A worker turns these loops, and is gone at this moment: it writes nothing more."""
    before = asyncio.all_tasks()
    async with by_hand(here) as worker:
        await turn(worker, "beat", *names)
        await asyncio.wait_for(moment.wait(), 10)
        for task in asyncio.all_tasks() - before:
            task.cancel()
        await asyncio.sleep(0)
