"""A process that ends: what it was dispatching or fetching is settled, and left to no lease."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from service.detectors.port import Raw, RunContext
from service.kit.db.database import Database
from service.vendor_calls.dispatch import DISPATCHED
from service.vendor_calls.fetch_source import SourceFetcher
from tests.detections.rows import ACCOUNT, world
from tests.detections.scripted import NOW, aippim, asc, job


def _never(started: asyncio.Event) -> Callable[[RunContext], Awaitable[Raw]]:
    async def hangs(_context: RunContext) -> Raw:
        started.set()
        await asyncio.Event().wait()
        raise AssertionError

    return hangs


async def test_a_submission_cut_at_the_drain_is_of_unknown_outcome_at_once(database: Database) -> None:
    started = asyncio.Event()
    here = world(database, asc(submits=[_never(started)]))
    here.submit("asc")
    await here.dispatcher.step()
    await started.wait()
    with capture_logs() as logs:
        await here.dispatcher.drain(0.01)
    run = here.run()
    assert (run.state, run.waiting_for, run.submit_tries) == ("unknown", "unknown_outcome", 1)
    assert (run.lease_token, run.due_at) == (None, NOW + timedelta(seconds=90))
    (line,) = [line for line in logs if line["event"] == "run.dispatched"]
    assert (line["outcome"], line["run_id"]) == ("cut_while_submitting", run.id)


async def test_an_upload_cut_at_the_drain_leaves_the_run_due_as_if_it_had_not_begun(database: Database) -> None:
    started = asyncio.Event()
    here = world(database, aippim(prepares=[_never(started)]))
    here.submit("aippim/standard")
    await here.dispatcher.step()
    await started.wait()
    await here.dispatcher.drain(0.01)
    run = here.run()
    assert (run.state, run.due_at, run.lease_token) == ("queued", NOW, None)
    assert (run.submit_started_at, run.submit_tries) == (None, 0)


async def test_a_claim_that_a_drain_overtook_is_handed_back(database: Database) -> None:
    vendor = asc(submits=[job("j")])
    here = world(database, vendor)
    here.submit("asc")
    stepping = asyncio.create_task(here.dispatcher.step())
    await asyncio.sleep(0)  # it has looked whether it may claim, and its claim is in a thread
    await here.dispatcher.drain(0)
    await stepping
    assert (here.run().lease_token, here.run().due_at, vendor.times("submit")) == (None, NOW, 0)


async def test_a_dispatch_is_one_wide_line_with_every_id(database: Database) -> None:
    here = world(database, asc(submits=[job("j")]))
    before = DISPATCHED.value("asc", "accepted")
    detection_id = here.submit("asc")
    with capture_logs() as logs:
        await here.dispatch()
    (line,) = [line for line in logs if line["event"] == "run.dispatched"]
    ids = {"run_id": here.run().id, "detection_id": detection_id, "account_id": ACCOUNT}
    assert line.items() >= (ids | {"mode": "live", "vendor": "asc", "detector": "asc", "outcome": "accepted"}).items()
    assert line["took_ms"] >= 0
    assert DISPATCHED.value("asc", "accepted") == before + 1


async def test_a_download_cut_at_the_drain_is_due_at_once_and_was_no_try(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = asyncio.Event()

    async def hangs(*_args: object) -> None:
        started.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(SourceFetcher, "_download", hangs)
    here = world(database, asc())
    detection_id = here.submit("asc", source_url="https://x.example/a.wav", source_name="a.wav")
    unused: Any = None
    fetcher = SourceFetcher(database, here.policy, unused, unused, unused, here.clock)
    stepping = asyncio.create_task(fetcher.step())
    await started.wait()
    with capture_logs() as logs:
        await fetcher.drain(0.01)
    await stepping
    detection = here.detection(detection_id)
    assert (detection.source_state, detection.due_at) == ("due", NOW)
    assert (detection.lease_token, detection.source_tries) == (None, 0)
    (line,) = [line for line in logs if line["event"] == "source.fetched"]
    assert (line["outcome"], line["detection_id"], line["mode"]) == ("handed_back", detection_id, "live")
    assert await fetcher.step() is False
