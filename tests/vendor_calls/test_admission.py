"""Runs before a gate: who goes, who stands in line and with which due time, and what it says when time is up."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlmodel import select
from structlog.testing import capture_logs

from service.detectors.catalogue import Limits
from service.kit.db.database import Database
from service.quotas.models import Gate
from service.runs.state.models import Run
from service.vendor_calls.admission import claim_polls, claim_submissions
from tests.detections.rows import World, alter, world
from tests.detections.scripted import NOW, aippim, asc, job, lost, not_sent, raw, said


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def gated(database: Database, *adapters: Any, **limits: Any) -> World:
    return world(database, *adapters, limits=Limits(**limits))


def states(here: World) -> list[tuple[str, str | None]]:
    return [(run.state, run.waiting_for) for run in sorted(here.runs(), key=lambda run: run.id)]


def gate_of(here: World) -> Gate:
    with here.database.reading() as session:
        gate = session.exec(select(Gate)).one()
        session.expunge_all()
        return gate


async def claim(here: World, limit: int = 32) -> list[str]:
    claimed, _ = await here.database.write(claim_submissions, here.policy.catalogue, now=here.clock(), limit=limit)
    return [one.run.id for one in claimed]


async def test_a_place_at_the_vendor_is_taken_until_its_job_has_ended(database: Database) -> None:
    vendor = asc(submits=[job("j1"), job("j2")], fetches=[said("ai")])
    here = gated(database, vendor, concurrency=1)
    for _ in range(2):
        here.submit("asc")
    await here.dispatch()
    assert states(here) == [("waiting", None), ("queued", "concurrency")]
    here.clock.turn(44)
    await here.dispatch()
    assert vendor.times("submit") == 1
    here.clock.turn(1)
    await here.poll()
    await here.dispatch()
    assert states(here) == [("succeeded", None), ("waiting", None)]


async def test_a_lease_that_has_ended_takes_up_no_place(database: Database) -> None:
    here = world(database, asc(submits=[job("j2")]), limits=Limits(concurrency=1), resubmit_after=300)
    here.submit("asc")
    here.submit("asc")
    (dead,) = await claim(here)
    alter(database, [run for run in here.runs() if run.id == dead], submit_started_at=NOW)
    assert await claim(here) == []
    here.clock.turn(92)
    assert await claim(here) == []
    here.clock.turn(4)
    await here.dispatch()
    assert states(here) == [("unknown", "unknown_outcome"), ("waiting", None)]


async def test_the_line_is_served_in_the_order_it_was_joined(database: Database) -> None:
    here = gated(database, asc(), per_minute=2)
    here.clock.now = at(-7)
    for _ in range(7):  # one after another, as below
        here.submit("asc")
        here.clock.turn(1)
    order = sorted(run.id for run in here.runs())
    went = await claim(here)
    here.clock.turn(61)
    late = here.submit("asc")
    went += await claim(here)
    here.clock.turn(61)
    went += await claim(here)
    assert went == order[:6]
    assert here.runs(late)[0].waiting_for == "rate_limited"


async def test_those_in_line_come_due_one_after_another_and_not_beyond_their_deadline(database: Database) -> None:
    here = gated(database, asc(), per_minute=6)
    here.clock.now = at(-40)
    for _ in range(40):  # one after another: which of several that came at one moment is first, no engine promises
        here.submit("asc")
        here.clock.turn(1)
    while (await database.write(claim_submissions, here.policy.catalogue, now=NOW, limit=8))[1]:
        pass
    line = sorted((run for run in here.runs() if run.throttled_at), key=lambda run: run.id)
    assert len(line) == 34
    assert [run.due_at for run in line] == [at(61 + 10 * n) for n in range(34)]
    assert {run.lease_token for run in line} == {None}
    assert all(run.due_at is not None and run.due_at <= run.deadline_at for run in here.runs())


async def test_a_look_at_a_long_line_touches_only_what_is_due_and_what_goes(database: Database) -> None:
    here = gated(database, asc(), per_minute=3)
    for _ in range(60):
        here.submit("asc")
    for _ in range(30):
        await claim(here, limit=4)
    before = {run.id: run.due_at for run in here.runs()}
    here.clock.turn(61)
    went = await claim(here, limit=4)
    changed = {run.id for run in here.runs() if run.due_at != before[run.id]}
    assert len(went) == 3
    assert len(changed) <= 4 + 3


async def test_a_long_line_at_one_vendor_holds_up_no_other(database: Database) -> None:
    music = aippim(prepares=[raw({"ref": "m"})], submits=[job("t1")])
    here = world(database, asc(submits=[job("j1")]), music)
    lines = {key: replace(line, policy=replace(line.policy, limits=Limits(per_minute=1))) if key[1] == "asc" else line
             for key, line in here.policy.catalogue._vendors.items()}  # fmt: skip
    here.policy.catalogue._vendors = lines
    for _ in range(70):
        here.submit("asc")
    last = here.submit("aippim/standard")
    await here.dispatch()
    assert here.runs(last)[0].state == "waiting"


async def test_a_run_that_never_got_through_fails_at_its_deadline_for_what_held_it(database: Database) -> None:
    vendor = asc(submits=[job("j1")])
    here = gated(database, vendor, daily_quota=1)
    here.submit("asc")
    held = here.submit("asc")
    await here.dispatch()
    run = here.runs(held)[0]
    assert (run.waiting_for, run.due_at) == ("quota_exceeded", run.deadline_at)
    here.clock.turn(3600)
    await here.dispatch()
    run = here.runs(held)[0]
    assert (run.state, run.reason_code, run.waiting_for) == ("failed", "quota_exceeded", None)
    assert (here.detection(held).status, here.detection(held).verdict) == ("failed", "not_analyzed")
    assert vendor.times("submit") == 1


async def test_an_upload_and_its_submission_are_two_requests(database: Database) -> None:
    vendor = aippim(prepares=[raw({"ref": "m"})] * 2, submits=[job("t1"), job("t2")])
    here = gated(database, vendor, daily_quota=5)
    for _ in range(3):
        here.submit("aippim/standard")
    await here.dispatch()
    assert (vendor.times("submit"), gate_of(here).window_used) == (2, 4)


async def test_polls_wait_where_the_quota_is_out_and_no_further_than_the_deadline(database: Database) -> None:
    vendor = asc(submits=[job("j1")])
    here = gated(database, vendor, daily_quota=1)
    detection = here.submit("asc")
    await here.dispatch()
    here.clock.turn(45)
    await here.poll()
    run = here.run()
    assert (run.state, run.waiting_for, run.due_at, run.polls) == ("waiting", "quota_exceeded", run.deadline_at, 0)
    here.clock.turn(3600)
    await here.poll()
    assert (here.run().state, here.run().reason_code) == ("timed_out", "no_callback_no_result")
    assert (vendor.times("fetch"), here.detection(detection).status) == (0, "expired")


async def test_a_429_closes_the_gate_for_all_until_retry_after(database: Database) -> None:
    vendor = asc(submits=[raw({}, 429, retry_after="77"), job("j1"), job("j2")])
    here = world(database, vendor)
    here.submit("asc")
    await here.dispatch()
    here.submit("asc")
    await here.dispatch()
    assert (vendor.times("submit"), states(here)) == (1, [("queued", "rate_limited")] * 2)
    here.clock.turn(77)
    await here.dispatch()
    assert states(here) == [("waiting", None)] * 2


@pytest.mark.parametrize("limits", [{"keep_pressure": True}, {"answers_tell_of_all": False}])
async def test_a_429_can_be_about_one_run_only(database: Database, limits: dict[str, bool]) -> None:
    vendor = asc(submits=[raw({}, 429, retry_after="77"), job("j1")])
    here = gated(database, vendor, **limits)
    here.submit("asc")
    await here.dispatch()
    here.submit("asc")
    await here.dispatch()
    assert states(here) == [("queued", "rate_limited"), ("waiting", None)]


async def test_what_the_vendor_says_is_left_is_all_that_goes(database: Database) -> None:
    reset = str(int(at(7200).timestamp()))
    first = raw({"job": "j1"}, x_ratelimit_remaining="1", x_ratelimit_reset=reset)
    vendor = asc(submits=[first, job("j2")])
    here = world(database, vendor)
    for _ in range(3):
        here.submit("asc")
        await here.dispatch()
    assert states(here) == [("waiting", None), ("waiting", None), ("queued", "quota_exceeded")]
    assert gate_of(here).quota_left == 0


async def test_a_vendor_that_fails_five_times_is_left_alone_and_then_tried_with_one(database: Database) -> None:
    vendor = asc(submits=[*[not_sent()] * 4, lost(), not_sent(), *[job(f"j{n}") for n in range(8)]])
    here = world(database, vendor, resubmit_after=3000)
    for _ in range(5):
        here.submit("asc")
        await here.dispatch()
    assert gate_of(here).circuit == "open"
    for _ in range(2):
        here.submit("asc")
        await here.dispatch()
    assert (vendor.times("submit"), states(here)[-1]) == (5, ("queued", "circuit_open"))
    here.clock.turn(30)
    await here.dispatch()
    assert (vendor.times("submit"), gate_of(here).circuit, gate_of(here).opened) == (6, "open", 2)
    here.clock.turn(60)
    await here.dispatch()
    assert gate_of(here).circuit == "closed", "the probe was answered"
    assert vendor.times("submit") >= 7


async def test_a_refused_key_opens_the_circuit_at_once_and_alarms(database: Database) -> None:
    vendor = asc(submits=[raw({}, 401)])
    here = world(database, vendor)
    with capture_logs() as logs:
        for _ in range(2):
            here.submit("asc")
            await here.dispatch()
    assert states(here) == [("failed", None), ("queued", "circuit_open")]
    assert [(log["event"], log["log_level"]) for log in logs].count(("vendor.circuit_opened", "error")) == 1


async def test_the_circuit_holds_up_polls_too(database: Database) -> None:
    vendor = asc(submits=[job("j1"), raw({}, 401)])
    here = world(database, vendor)
    for _ in range(2):
        here.submit("asc")
        await here.dispatch()
    alter(database, here.runs()[:1], due_at=NOW)
    await here.poll()
    run = here.runs()[0]
    assert (run.state, run.waiting_for, run.due_at) == ("waiting", "circuit_open", at(30))


async def test_workers_that_race_for_the_last_places_never_take_more(database: Database) -> None:
    here = gated(database, asc(), concurrency=3, per_minute=50, daily_quota=100)
    for _ in range(12):
        here.submit("asc")
    for _ in range(3):
        found = await asyncio.gather(*(claim(here, limit=4) for _ in range(6)))
        assert sum(map(len, found)) in (0, 3)
    leased = [run for run in here.runs() if run.lease_token]
    assert (len(leased), gate_of(here).window_used) == (3, 3)


async def test_workers_that_race_for_a_minute_never_take_more(database: Database) -> None:
    here = gated(database, asc(), per_minute=5)
    for _ in range(12):
        here.submit("asc")
    went: list[str] = []
    for _ in range(5):
        for found in await asyncio.gather(*(claim(here, limit=4) for _ in range(6))):
            went += found
    assert (len(went), len(set(went))) == (5, 5)


async def test_live_and_test_have_gates_of_their_own(database: Database) -> None:
    here = gated(database, asc(), per_minute=1)
    line = here.policy.catalogue.configured("live", "asc")
    assert line is not None
    here.policy.catalogue._vendors["test", "asc"] = line
    here.submit("asc")
    here.submit("asc", mode="test", media={"mode": "test"})
    assert len(await claim(here)) == 2


async def test_a_cancelled_run_leaves_the_line(database: Database) -> None:
    here = gated(database, asc(), per_minute=1)
    for _ in range(3):
        here.submit("asc")
    (first,) = await claim(here)
    second, third = sorted(run.id for run in here.runs() if run.id != first)
    alter(database, [run for run in here.runs() if run.id == second], state="skipped", ended_at=NOW, due_at=None)
    here.clock.turn(61)
    assert await claim(here) == [third]


async def test_two_pollers_share_one_minute(database: Database) -> None:
    here = gated(database, asc(), per_minute=4)
    for _ in range(8):
        here.submit("asc")
    alter(database, here.runs(), state="waiting", due_at=NOW, vendor_job_id=None)

    async def ask() -> int:
        claimed, _ = await database.write(claim_polls, here.policy.catalogue, now=NOW, limit=4)
        return len(claimed)

    assert sum(await asyncio.gather(*(ask() for _ in range(4)))) == 4
    with database.reading() as session:
        due = sorted(run.due_at for run in session.exec(select(Run)) if run.lease_token is None and run.due_at)
    assert due[0] == at(61)
    assert len(set(due)) > 1
