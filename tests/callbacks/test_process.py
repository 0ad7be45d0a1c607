"""What a stored callback does: under `confirm` it makes its run due for one fetch, under `payload` it decides."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlmodel import col, select

from service.callbacks.models import Callback
from service.callbacks.process import claim_callbacks, read_callbacks
from service.callbacks.settle import process_callbacks
from service.detectors.port import Raw, RunContext
from service.kit.db.database import Database
from service.runs.state.models import Observation
from tests.detections.rows import World, world
from tests.detections.scripted import NOW, Answer, Scripted, aippim, asc, job, lost, raw, said

DONE = {"said": "ai"}


async def _waiting(database: Database, fetches: Sequence[Answer] = (), **plan: Any) -> tuple[World, Scripted, str]:
    """A run that its vendor took at `NOW`."""
    vendor = asc(submits=[job("j1", 20)], fetches=fetches)
    here = world(database, vendor, **plan)
    detection_id = here.submit("asc")
    await here.dispatch()
    return here, vendor, detection_id


def world_beside(here: World) -> World:
    """Another worker on the same database."""
    return World(here.database, here.policy, here.clock)


def _at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def _obtained(here: World, detection_id: str) -> dict[str, Any]:
    (result,) = here.results(detection_id)
    found: dict[str, Any] = result["detectors"][0]["obtained"]
    return found


async def test_a_claimed_end_makes_the_run_due_at_once_and_the_fetch_decides(database: Database) -> None:
    here, vendor, detection_id = await _waiting(database, [said("human")])
    here.clock.turn(3)
    here.arrive(here.run().id, DONE, job_id="j1")
    await here.callbacks()
    assert (here.run().state, here.run().due_at, here.detection(detection_id).verdict) == ("waiting", _at(3), None)
    await here.poll()
    assert here.detection(detection_id).verdict == "no_ai_detected"
    assert _obtained(here, detection_id) == {
        "via": "callback",
        "authenticity": "url_token",
        "confirmed_by_fetch": True,
        "callbacks_seen": 1,
        "duplicates": 0,
    }
    assert (vendor.times("fetch"), here.run().confirmations, here.run().polls) == (1, 1, 0)


async def test_processing_is_stored_and_asks_nothing(database: Database) -> None:
    here, vendor, _ = await _waiting(database)
    before = here.run()
    here.arrive(here.run().id, {"said": "running"}, job_id="j1")
    await here.callbacks()
    await here.poll()
    assert (here.run(), here.callback_states(), vendor.times("fetch")) == (before, ["applied"], 0)
    with database.reading() as session:
        looks = select(Observation.via, Observation.effect).where(col(Observation.outcome).is_(None))
        assert session.exec(looks).all() == [("callback", "none")]


async def test_confirmations_keep_ten_seconds_apart(database: Database) -> None:
    here, vendor, _ = await _waiting(database, [said("running"), said("running")])
    here.arrive(here.run().id, DONE)
    here.clock.turn(1)
    await here.callbacks()
    await here.poll()
    here.clock.turn(2)
    here.arrive(here.run().id, {**DONE, "again": 1})
    await here.callbacks()
    assert here.run().due_at == _at(11)
    await here.poll()
    assert vendor.times("fetch") == 1
    here.clock.turn(8)
    await here.poll()
    assert (vendor.times("fetch"), here.run().confirmations) == (2, 2)


async def test_a_poll_that_is_planned_sooner_serves_as_the_confirmation(database: Database) -> None:
    here, vendor, _ = await _waiting(database, [said("running"), said("ai")], poll=3)
    here.arrive(here.run().id, DONE)
    here.clock.turn(1)
    await here.callbacks()
    await here.poll()
    planned = here.run().due_at
    assert planned == _at(4)
    here.clock.turn(1)
    here.arrive(here.run().id, {**DONE, "again": 1})
    await here.callbacks()
    assert here.run().due_at == planned, "the callback alone asks ten seconds after the look before, and no sooner"
    here.clock.now = _at(4)
    await here.poll()
    assert (vendor.times("fetch"), here.run().state, here.run().confirmed_by_fetch) == (2, "succeeded", True)


async def test_when_a_callback_is_confirmed_was_said_when_it_came(database: Database) -> None:
    here, _, _ = await _waiting(database, [said("running")])
    here.arrive(here.run().id, {"said": "running"}, job_id="j1")
    await here.callbacks()
    here.arrive(here.run().id, DONE)
    await here.callbacks()
    await here.poll()
    here.clock.turn(2)
    here.arrive(here.run().id, {**DONE, "again": 1})
    await here.callbacks()
    with database.reading() as session:
        called = select(Observation.effect, Observation.next_at).where(col(Observation.callback_id).is_not(None))
        assert session.exec(called.order_by(col(Observation.n))).all() == [
            ("none", None), ("confirm", NOW), ("confirm", _at(10)),
        ]  # fmt: skip


async def test_the_same_callback_again_asks_nothing_again(database: Database) -> None:
    here, vendor, _ = await _waiting(database, [said("running")])
    for _ in range(5):
        here.arrive(here.run().id, DONE)
        await here.callbacks()
        await here.poll()
        here.clock.turn(1)
    assert vendor.times("fetch") == 1


async def test_a_callback_that_comes_while_we_ask_gets_its_own_fetch_afterwards(database: Database) -> None:
    async def slow(_context: RunContext) -> Raw:
        here.clock.turn(2)
        here.arrive(here.run().id, DONE)
        await here.callbacks()
        assert here.run().lease_token is not None, "a second fetch must not start beside this one"
        await world_beside(here).poll()
        return said("running")

    here, vendor, _ = await _waiting(database)
    vendor.fetches += [slow, said("ai")]
    here.clock.turn(45)
    await here.poll()
    assert (vendor.times("fetch"), here.run().due_at) == (1, _at(55))
    here.clock.now = _at(55)
    await here.poll()
    assert (here.run().state, here.run().confirmed_by_fetch) == ("succeeded", True)


@pytest.mark.parametrize("trouble", [raw({}, 503), raw({}, 429), lost(), said("running"), raw([], 500)])
async def test_an_unconfirmed_callback_is_polled_for_and_at_the_deadline_reviewed(
    database: Database, trouble: Answer
) -> None:
    here, _, detection_id = await _waiting(database, [trouble] * 3, deadline=40)
    here.arrive(here.run().id, DONE)
    here.clock.turn(5)
    await here.callbacks()
    await here.poll()
    assert (here.run().state, here.run().due_at) == ("waiting", _at(20))
    for wait in (15, 20):
        here.clock.turn(wait)
        await here.poll()
    (result,) = here.results(detection_id)
    assert (here.run().state, here.run().reason_code) == ("timed_out", "unverified_callback")
    assert (result["verdict"], result["review"]["reasons"]) == ("not_analyzed", ["unverified_callback"])
    assert here.events() == ["detector.completed", "detection.failed", "review.required"]
    with database.reading() as session:
        assert session.exec(select(Callback.body)).one() == b'{"said": "ai"}'


async def test_where_the_operator_trusts_it_the_callback_decides(database: Database) -> None:
    here, vendor, detection_id = await _waiting(database, trust="payload")
    here.arrive(here.run().id, DONE)
    await here.callbacks()
    assert here.detection(detection_id).verdict == "ai_generated"
    assert _obtained(here, detection_id)["confirmed_by_fetch"] is False
    assert vendor.times("fetch") == 0


async def test_a_late_callback_is_kept_and_changes_nothing(database: Database) -> None:
    """One that contradicts the answer is in `test_contradictions`."""
    here, _, detection_id = await _waiting(database, [said("human")])
    here.clock.turn(45)
    await here.poll()
    before = (here.run(), here.results(detection_id), here.events())
    here.arrive(here.run().id, {"said": "human"}, job_id="j1")
    await here.callbacks()
    assert (here.run(), here.results(detection_id), here.events()) == before
    assert here.callback_states() == ["late"]


async def test_a_callback_that_names_another_job_is_a_conflict_without_effect(database: Database) -> None:
    here, _, _ = await _waiting(database)
    before = here.run()
    here.arrive(here.run().id, DONE, job_id="j2")
    await here.callbacks()
    assert (here.run(), here.callback_states()) == (before, ["conflict"])


async def test_a_callback_of_a_job_we_do_not_know_yet_waits_for_the_run_to_know_it(database: Database) -> None:
    vendor = aippim(prepares=[raw({"ref": "m"})], submits=[job("t1")], fetches=[said("ai")])
    here = world(database, vendor)
    detection_id = here.submit("aippim/standard")
    here.arrive("t1", DONE, vendor="aippim", job_id="t1")
    await here.callbacks()
    assert here.callback_states() == ["parked"]
    await here.dispatch()
    assert here.callback_states() == ["due"]
    await here.callbacks()
    await here.poll()
    assert here.detection(detection_id).verdict == "ai_generated"


async def test_a_callback_of_nobodys_job_is_never_fetched_for_and_expires(database: Database) -> None:
    here, vendor, _ = await _waiting(database)
    here.arrive("other-product", DONE)
    for wait in (0, 3599):
        here.clock.turn(wait)
        await here.callbacks()
        assert here.callback_states() == ["parked"]
    here.clock.turn(1)
    await here.callbacks()
    assert (here.callback_states(), vendor.times("fetch")) == (["ignored"], 0)


async def test_a_callback_that_outruns_the_submission_is_matched_when_that_is_recorded(database: Database) -> None:
    async def quick(_context: RunContext) -> Raw:
        here.arrive(here.run().id, DONE, job_id="j1")
        await here.callbacks()
        states.extend(here.callback_states())
        return job("j1")

    states: list[str] = []
    here = world(database, asc(submits=[quick], fetches=[said("ai")]))
    detection_id = here.submit("asc")
    await here.dispatch()
    assert states == ["parked"]
    await here.callbacks()
    await here.poll()
    assert here.detection(detection_id).verdict == "ai_generated"


async def test_a_callback_settles_a_submission_of_unknown_outcome(database: Database) -> None:
    vendor = asc(submits=[lost()], fetches=[said("ai")])
    here = world(database, vendor)
    detection_id = here.submit("asc")
    await here.dispatch()
    here.arrive(here.run().id, DONE, job_id="j1")
    await here.callbacks()
    assert (here.run().state, here.run().vendor_job_id) == ("waiting", "j1")
    await here.poll()
    here.clock.turn(200)
    await here.dispatch()
    assert (here.detection(detection_id).verdict, vendor.times("submit")) == ("ai_generated", 1)


async def test_a_callback_seen_before_the_outcome_was_lost_settles_it_too(database: Database) -> None:
    async def quick(_context: RunContext) -> Raw:
        here.arrive(here.run().id, DONE, job_id="j1")
        await here.callbacks()
        raise lost()

    here = world(database, asc(submits=[quick]))
    here.submit("asc")
    await here.dispatch()
    await here.callbacks()
    assert (here.run().state, here.run().vendor_job_id) == ("waiting", "j1")


async def test_a_callback_cannot_give_a_run_another_runs_job(database: Database) -> None:
    here = world(database, asc(submits=[job("j1"), lost()]))
    for _ in range(2):
        here.submit("asc")
        await here.dispatch()
    here.arrive(here.runs()[1].id, DONE, job_id="j1")
    await here.callbacks()
    assert (here.callback_states(), [run.state for run in here.runs()]) == (["conflict"], ["waiting", "unknown"])


async def test_a_poison_callback_is_put_aside_after_five_tries_and_harms_no_other(database: Database) -> None:
    here, _, _ = await _waiting(database)
    here.arrive(here.run().id, {"unreadable": 1})
    here.arrive(here.run().id, {"said": "running"})
    for _ in range(7):
        await here.callbacks()
        here.clock.turn(31)
    assert sorted(here.callback_states()) == ["applied", "stuck"]


async def test_a_callback_whose_lease_was_lost_is_left_to_the_other_worker(database: Database) -> None:
    here, _, _ = await _waiting(database)
    here.arrive(here.run().id, DONE)
    claimed = await database.write(claim_callbacks, now=NOW, lease_until=_at(30), limit=5)
    ready = await database.read(read_callbacks, claimed, here.policy)
    with database.writing() as session:
        session.exec(select(Callback)).one().lease_token = "somebody else's"
    ends = await database.write(process_callbacks, ready, here.policy, NOW, wait=True)
    assert (ends, here.callback_states()) == (["lease_lost"], ["due"])
    assert here.run().confirmation_requested_at is None


async def test_a_callback_of_the_other_mode_finds_no_run(database: Database) -> None:
    here, _, _ = await _waiting(database)
    here.arrive(here.run().id, DONE, mode="test")
    await here.callbacks()
    assert (here.callback_states(), here.run().confirmation_requested_at) == (["parked"], None)


async def test_a_run_that_ended_without_a_job_learns_it_from_a_late_callback_that_names_it(database: Database) -> None:
    here = world(database, asc(submits=[lost()], fetches=[said("ai")]), deadline=40)
    detection_id = here.submit("asc")
    await here.dispatch()
    here.clock.turn(40)
    await here.dispatch()
    assert (here.run().state, here.detection(detection_id).status) == ("timed_out", "expired")
    here.arrive(here.run().id, DONE)
    await here.callbacks()
    assert (here.callback_states(), here.run().due_at) == (["late"], None)
    here.arrive(here.run().id, {**DONE, "job": "j9"}, job_id="j9")
    await here.callbacks()
    assert (here.callback_states(), here.run().vendor_job_id) == (["late", "applied"], "j9")
    await here.poll()
    assert here.detection(detection_id).verdict == "ai_generated"


async def test_a_late_callback_cannot_give_a_run_another_runs_job(database: Database) -> None:
    here = world(database, asc(submits=[job("j1"), lost()]), deadline=40)
    for _ in range(2):
        here.submit("asc")
        await here.dispatch()
    here.clock.turn(40)
    await here.dispatch()
    here.arrive(here.runs()[1].id, DONE, job_id="j1")
    await here.callbacks()
    assert (here.callback_states(), here.runs()[1].vendor_job_id) == (["conflict"], None)
