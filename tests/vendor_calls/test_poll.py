"""Asking a vendor how far a run is: when, how often, and what each answer leaves behind."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from service.detectors.port import Raw, RunContext
from service.kit.db.database import Database
from service.runs.runner import DECISIONS
from service.vendor_calls.admission import claim_polls
from service.vendor_calls.run_context import VENDOR_REQUESTS
from tests.detections.rows import World, alter, world
from tests.detections.scripted import NOW, Answer, Scripted, aippim, asc, job, lost, not_sent, raw, said


async def _waiting(database: Database, fetches: Sequence[Answer], **plan: Any) -> tuple[World, Scripted, str]:
    """A run that its vendor took at `NOW`."""
    vendor = asc(submits=[job("j1", 20)], fetches=fetches)
    here = world(database, vendor, **plan)
    detection_id = here.submit("asc")
    await here.dispatch()
    return here, vendor, detection_id


def _at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


async def test_polls_come_by_the_plan(database: Database) -> None:
    here, vendor, _ = await _waiting(database, [said("running")] * 4, poll_max=30)
    waits = []
    for _ in range(4):
        due_at = here.run().due_at
        assert due_at is not None
        waits.append((due_at - here.clock()).total_seconds())
        here.clock.now = due_at - timedelta(seconds=1)
        await here.poll()
        here.clock.now = due_at
        await here.poll()
    assert waits == [45, 15, 22.5, 30]
    assert (vendor.times("fetch"), here.run().polls, here.run().confirmations) == (4, 4, 0)


async def test_an_answer_ends_the_run_and_says_it_was_fetched(database: Database) -> None:
    here, vendor, detection_id = await _waiting(database, [said("human")])
    here.clock.turn(45)
    await here.poll()
    (result,) = here.results(detection_id)
    obtained = result["detectors"][0]["obtained"]
    assert (result["verdict"], obtained["via"], obtained["authenticity"]) == ("no_ai_detected", "poll", "tls_fetch")
    assert vendor.asked[-1][1].vendor_job_id == "j1"


async def test_each_request_is_measured_by_its_step_and_each_decision(database: Database) -> None:
    steps = ("prepare", "submit", "poll")
    before = [VENDOR_REQUESTS.count("aippim", "live", step) for step in steps]
    decided = DECISIONS.count()
    vendor = aippim(prepares=[raw({"ref": "m"})], submits=[job("t1")], fetches=[lost(), said("ai")])
    here = world(database, vendor)
    here.submit("aippim/standard")
    await here.dispatch()
    for _ in range(2):
        here.clock.turn(60)
        await here.poll()
    assert here.run().state == "succeeded"
    after = [VENDOR_REQUESTS.count("aippim", "live", step) for step in steps]
    assert [now - then for now, then in zip(after, before, strict=True)] == [1, 1, 2]
    assert DECISIONS.count() > decided + 3


@pytest.mark.parametrize("trouble", [not_sent(), lost(), raw({}, 503), said("running")])
async def test_trouble_with_one_poll_waits_for_the_next(database: Database, trouble: Answer) -> None:
    here, _, _ = await _waiting(database, [trouble, said("ai")])
    here.clock.turn(45)
    await here.poll()
    assert (here.run().state, here.run().due_at, here.run().lease_token) == ("waiting", _at(60), None)
    here.clock.turn(15)
    await here.poll()
    assert here.run().state == "succeeded"


async def test_a_vendor_that_says_later_is_asked_later(database: Database) -> None:
    here, _, _ = await _waiting(database, [raw({}, 429, retry_after="400")])
    here.clock.turn(45)
    await here.poll()
    assert (here.run().due_at, here.run().waiting_for) == (_at(445), "rate_limited")


async def test_the_last_poll_is_at_the_deadline_and_may_still_answer(database: Database) -> None:
    here, _, detection_id = await _waiting(database, [said("running"), said("ai")], deadline=50)
    here.clock.turn(45)
    await here.poll()
    assert here.run().due_at == _at(50)
    here.clock.turn(5)
    await here.poll()
    assert here.detection(detection_id).verdict == "ai_generated"


async def test_without_an_answer_at_the_deadline_the_run_timed_out(database: Database) -> None:
    here, _, detection_id = await _waiting(database, [said("running")], deadline=40)
    here.clock.turn(40)
    await here.poll()
    assert (here.run().state, here.run().reason_code) == ("timed_out", "no_callback_no_result")
    (result,) = here.results(detection_id)
    assert (result["status"], result["verdict"], result["review"]["required"]) == ("expired", "not_analyzed", False)
    assert here.events() == ["detector.completed", "detection.failed"]


async def test_an_unknown_status_keeps_the_run_going_and_fails_it_at_the_deadline(database: Database) -> None:
    here, _, _ = await _waiting(database, [said("odd"), lost()], deadline=50)
    here.clock.turn(45)
    await here.poll()
    assert (here.run().state, here.run().waiting_for) == ("waiting", "schema_mismatch")
    here.clock.turn(5)
    await here.poll()
    assert (here.run().state, here.run().reason_code) == ("failed", "schema_mismatch")


async def test_an_unknown_status_is_forgotten_once_a_known_one_comes(database: Database) -> None:
    here, _, _ = await _waiting(database, [said("odd"), said("running")], deadline=50)
    for wait in (45, 5):
        here.clock.turn(wait)
        await here.poll()
    assert (here.run().state, here.run().reason_code) == ("timed_out", "no_callback_no_result")


async def test_a_key_that_is_refused_at_the_poll_fails_the_run(database: Database) -> None:
    here, _, detection_id = await _waiting(database, [raw({"error": "unauthorized"}, 401)])
    here.clock.turn(45)
    await here.poll()
    assert (here.run().state, here.run().reason_code) == ("failed", "auth_failed")
    assert here.detection(detection_id).status == "failed"


async def test_a_poll_whose_lease_was_lost_records_nothing(database: Database) -> None:
    async def overtaken(_context: RunContext) -> Raw:
        alter(database, [here.run()], lease_token="somebody else's")
        return said("ai")

    here, vendor, _ = await _waiting(database, [])
    vendor.fetches.append(overtaken)
    here.clock.turn(45)
    await here.poll()
    assert (here.run().state, here.poller.counts["lease_lost"]) == ("waiting", 1)


async def test_a_run_being_asked_for_is_not_claimed_again(database: Database) -> None:
    here, _, _ = await _waiting(database, [])
    here.clock.turn(45)
    for _ in range(2):
        claimed, more = await database.write(claim_polls, here.policy.catalogue, now=here.clock(), limit=5)
    assert (claimed, more) == ([], False)
    assert (here.run().polled_at, here.run().polls) == (_at(45), 1)


@pytest.mark.parametrize(
    ("plan", "until"),
    [({}, 45 + 93), ({"timeout": 10}, 45 + 18), ({"deadline": 60}, 60), ({"deadline": 45}, 45 + 93)],
)
async def test_a_lease_is_as_long_as_its_vendor_may_take_and_no_longer_than_the_run_has_left(
    database: Database, plan: dict[str, float], until: float
) -> None:
    """At the deadline the last poll has its whole time."""
    here, _, _ = await _waiting(database, [], **plan)
    here.clock.turn(45)
    ((one,), _) = await database.write(claim_polls, here.policy.catalogue, now=here.clock(), limit=5, holder="wrk_1.")
    assert one.claim.token.startswith("wrk_1.")
    assert (here.run().lease_token, here.run().due_at) == (one.claim.token, _at(until))


async def test_after_drain_nobody_is_asked(database: Database) -> None:
    here, vendor, _ = await _waiting(database, [])
    here.clock.turn(45)
    await here.poller.drain(1)
    assert await here.poller.step() is False
    assert vendor.times("fetch") == 0
