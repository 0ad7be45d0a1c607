"""Runs that ask the same at the same time: one is asked, the others follow it, and none is lost with it."""

import pytest
from sqlmodel import select

from service.detections.changes import expire_overdue, recheck
from service.detectors.enums import RunStatus
from service.detectors.port import Raw, RunContext
from service.detectors.reading import Reading
from service.kit.db.database import Database
from service.runs.load.lock import lock_detection
from service.runs.state.models import Observation
from service.timeline.assemble import assemble
from service.vendor_calls.media_link import open_link
from tests.detections.rows import World, world
from tests.detections.scripted import Answer, Scripted, aippim, asc, job, lost, raw, said
from tests.detections.sharing import ask, call_off, erase, only, outcome, part, recording

DONE = {"said": "ai"}


def _twins(database: Database, vendor: Scripted, count: int = 2, **plan: float) -> tuple[World, list[str]]:
    """So many detections of one recording, asked one second after the other."""
    here = world(database, vendor, **plan)
    media_id, ids = recording(here), []
    for _ in range(count):
        ids.append(ask(here, media_id))
        here.clock.turn(1)
    return here, ids


async def test_one_answer_ends_all_that_asked_the_same(database: Database) -> None:
    vendor = asc(submits=[job("j1")], fetches=[said("ai")])
    here, ids = _twins(database, vendor, 3)
    leader, *rest = [only(here, each) for each in ids]
    for run in rest:
        assert (run.follows_run_id, run.state, run.waiting_for) == (leader.id, "queued", "following")
        assert (run.due_at, run.leader_key) == (run.deadline_at, None)
    await here.dispatch()
    here.clock.turn(60)
    await here.poll()
    assert (vendor.times("submit"), vendor.times("fetch")) == (1, 1)
    assert [outcome(here, each) for each in ids] == [("completed", "ai_generated", 1)] * 3
    assert here.events() == ["detector.completed", "detection.completed"] * 3
    assert [only(here, each).leader_key for each in ids] == [None] * 3
    assert [part(here, each)["obtained"]["via"] for each in ids] == ["poll", "reuse", "reuse"]
    other = part(here, ids[1])["refs"]["other"]
    assert (other["followed_run_id"], other["reused_run_id"]) == (leader.id, leader.id)
    assert part(here, ids[1])["waiting_for"] is None


async def test_a_callback_that_decides_ends_the_followers_too(database: Database) -> None:
    here, (first, second) = _twins(database, asc(submits=[job("j1")]), trust="payload")  # type: ignore[arg-type]  # a word among the spans
    await here.dispatch()
    here.arrive(only(here, first).id, DONE, job_id="j1")
    await here.callbacks()
    assert outcome(here, first) == outcome(here, second) == ("completed", "ai_generated", 1)


@pytest.mark.parametrize("asked", [{"force": True}, {"account_id": "acc_2"}])
async def test_who_asks_by_force_neither_leads_nor_follows(database: Database, asked: dict[str, object]) -> None:
    here = world(database, asc())
    media_id = recording(here) if "force" in asked else recording(here, account="acc_2")
    ids = [ask(here, media_id, **asked), ask(here, media_id, **asked)]
    follows = [only(here, each).follows_run_id for each in ids]
    assert (follows == [None, None]) == ("force" in asked)


async def test_a_leaders_failure_makes_the_oldest_follower_ask(database: Database) -> None:
    vendor = asc(submits=[said("broken"), job("j2")], fetches=[said("human")])
    here, (first, second, third) = _twins(database, vendor, 3)
    await here.dispatch()
    assert outcome(here, first) == ("failed", "not_analyzed", 1)
    await here.dispatch()
    heir, last = only(here, second), only(here, third)
    assert (heir.state, heir.follows_run_id, last.follows_run_id) == ("waiting", None, heir.id)
    here.clock.turn(60)
    await here.poll()
    assert outcome(here, second) == outcome(here, third) == ("completed", "no_ai_detected", 1)
    assert vendor.times("submit") == 2


async def test_a_leaders_time_running_out_makes_a_follower_ask_if_it_has_time(database: Database) -> None:
    vendor = asc(submits=[job("j1"), job("j2")], fetches=[said("running"), said("ai")])
    here = world(database, vendor, deadline=600)
    media_id = recording(here)
    first = ask(here, media_id)
    await here.dispatch()
    here.clock.turn(300)
    second = ask(here, media_id)
    here.clock.turn(300)
    await here.poll()
    assert outcome(here, first)[0] == "expired"
    await here.dispatch()
    assert only(here, second).vendor_job_id == "j2"
    here.clock.turn(60)
    await here.poll()
    assert outcome(here, second)[1] == "ai_generated"


async def test_a_follower_without_time_to_ask_ends_by_its_own_deadline_and_takes_the_late_answer(
    database: Database,
) -> None:
    vendor = asc(submits=[job("j1")], fetches=[said("running"), said("human")])
    here, (first, second, third) = _twins(database, vendor, 3, deadline=600)
    await here.dispatch()
    here.clock.turn(597)
    await here.poll()
    here.clock.turn(1)
    await here.dispatch()
    states = [only(here, each).state for each in (first, second, third)]
    assert states == ["timed_out", "timed_out", "queued"]
    here.arrive(only(here, first).id, DONE, job_id="j1")
    await here.callbacks()
    here.clock.turn(20)
    await here.poll()
    assert [outcome(here, each) for each in (first, second, third)] == [
        ("completed", "no_ai_detected", 2),
        ("completed", "no_ai_detected", 2),
        ("completed", "no_ai_detected", 1),
    ]
    assert sorted(here.events()[-4:]) == [
        "detection.completed",
        "detection.revised",
        "detection.revised",
        "detector.completed",
    ]
    assert vendor.times("submit") == 1


async def test_a_follower_asked_again_meanwhile_takes_no_late_answer(database: Database) -> None:
    vendor = asc(submits=[job("j1")], fetches=[said("running"), said("human")])
    here, (first, second) = _twins(database, vendor, deadline=600)
    await here.dispatch()
    here.clock.turn(599)
    await here.poll()
    here.clock.turn(1)
    await here.dispatch()
    with database.writing() as session:
        recheck(session, lock_detection(session, second), here.policy, here.clock())
    here.arrive(only(here, first).id, DONE, job_id="j1")
    await here.callbacks()
    here.clock.turn(30)
    await here.poll()
    assert outcome(here, first) == ("completed", "no_ai_detected", 2)
    assert [run.state for run in here.runs(second)] == ["timed_out", "queued"]


async def test_a_follower_that_is_called_off_leaves_its_leader_alone(database: Database) -> None:
    here, (first, second) = _twins(database, asc(submits=[said("ai")]))
    call_off(here, second)
    await here.dispatch()
    assert (outcome(here, first)[0], outcome(here, second)[0]) == ("completed", "cancelled")
    assert len(here.results(second)) == 1


async def test_calling_the_leader_off_hands_its_job_to_the_oldest_follower(database: Database) -> None:
    vendor = asc(submits=[job("j1")], fetches=[said("ai")])
    here, (first, second, third) = _twins(database, vendor, 3)
    await here.dispatch()
    leader = only(here, first)
    call_off(here, first)
    heir, last = only(here, second), only(here, third)
    assert (heir.state, heir.vendor_job_id, heir.due_at, heir.follows_run_id) == ("waiting", "j1", leader.due_at, None)
    assert (heir.leader_key, last.follows_run_id) == (leader.leader_key, heir.id)
    assert (here.detection(second).status, here.detection(third).status) == ("running", "queued")
    assert part(here, first)["refs"]["other"] == {"handed_to_run_id": heir.id, "handed_job_id": "j1"}
    erase(here, first)
    here.clock.turn(60)
    await here.poll()
    assert (vendor.times("submit"), vendor.times("fetch")) == (1, 1)
    assert outcome(here, first) == ("cancelled", "not_analyzed", 1)
    assert outcome(here, second) == outcome(here, third) == ("completed", "ai_generated", 1)
    assert part(here, second)["obtained"]["via"] == "poll"


async def test_the_vendor_may_go_on_calling_the_run_it_was_told_of_and_fetching_its_audio(database: Database) -> None:
    here, (first, second, third) = _twins(database, asc(submits=[job("j1")], fetches=[said("ai")]), 3)
    await here.dispatch()
    call_off(here, first)
    call_off(here, second)
    told = only(here, first).id
    with database.writing() as session:
        assert open_link(session, told, "live", here.clock(), counts=True) is not None
    here.clock.turn(2)
    here.arrive(told, DONE, job_id="j1")
    await here.callbacks()
    assert here.callback_states() == ["applied"]
    await here.poll()
    assert part(here, third)["obtained"]["via"] == "callback"
    with database.writing() as session:
        assert open_link(session, told, "live", here.clock(), counts=True) is None


async def _call_off_while(here: World, step: str, vendor: Scripted, first: str, answer: Answer) -> None:
    """The leader is called off while the vendor is being asked this."""

    async def meanwhile(_context: RunContext) -> Raw:
        call_off(here, first)
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, Raw)
        return answer

    getattr(vendor, step).insert(0, meanwhile)
    await here.dispatch()


async def test_a_submission_under_way_is_the_followers_then(database: Database) -> None:
    vendor = asc(fetches=[said("ai")])
    here, (first, second) = _twins(database, vendor)
    await _call_off_while(here, "submits", vendor, first, job("j1"))
    assert (only(here, first).vendor_job_id, only(here, second).vendor_job_id) == (None, "j1")
    here.clock.turn(60)
    await here.poll()
    assert outcome(here, second)[1] == "ai_generated"
    assert vendor.times("submit") == 1


async def test_an_answer_at_once_to_a_run_called_off_is_the_followers(database: Database) -> None:
    vendor = asc()
    here, (first, second, third) = _twins(database, vendor, 3)
    await _call_off_while(here, "submits", vendor, first, said("ai"))
    assert outcome(here, first)[0] == "cancelled"
    assert outcome(here, second) == outcome(here, third) == ("completed", "ai_generated", 1)


async def test_what_a_stream_tells_of_a_run_called_off_is_the_followers(database: Database) -> None:
    vendor = asc()
    here, (first, second) = _twins(database, vendor)

    async def stream(asked: RunContext) -> Raw:
        call_off(here, first)
        assert asked.on_partial is not None
        await asked.on_partial(said("running"), Reading(status=RunStatus.RUNNING))
        return said("ai")

    vendor.submits.append(stream)
    await here.dispatch()
    assert outcome(here, second)[1] == "ai_generated"
    with database.reading() as session:
        effects = select(Observation.run_id, Observation.effect).where(Observation.effect == "partial")
        assert list(session.exec(effects)) == [(only(here, second).id, "partial")]


async def test_an_upload_under_way_is_not_taken_twice(database: Database) -> None:
    vendor = aippim(submits=[said("ai")])
    here = world(database, vendor)
    media_id = recording(here)
    first, second = (ask(here, media_id, "aippim/pro") for _ in range(2))
    await _call_off_while(here, "prepares", vendor, first, raw({"ref": "m"}))
    assert (vendor.times("prepare"), only(here, second).prepared_ref) == (1, "m")
    assert outcome(here, second)[1] == "ai_generated"


async def test_a_submission_of_unknown_outcome_is_handed_over_and_found_by_its_callback(database: Database) -> None:
    vendor = asc(fetches=[said("ai")])
    here, (first, second) = _twins(database, vendor)
    await _call_off_while(here, "submits", vendor, first, lost())
    assert (only(here, second).state, only(here, second).waiting_for) == ("unknown", "unknown_outcome")
    here.arrive(only(here, first).id, DONE, job_id="j1")
    await here.callbacks()
    assert only(here, second).vendor_job_id == "j1"
    here.clock.turn(60)
    await here.poll()
    assert outcome(here, second)[1] == "ai_generated"


async def test_a_callback_before_the_submissions_answer_waits_for_the_heir(database: Database) -> None:
    vendor = asc(fetches=[said("ai")])
    here, (first, second) = _twins(database, vendor)

    async def meanwhile(_context: RunContext) -> Raw:
        here.arrive(only(here, first).id, DONE, job_id="j1")
        await here.callbacks()
        assert here.callback_states() == ["parked"]
        call_off(here, first)
        return job("j1")

    vendor.submits.append(meanwhile)
    await here.dispatch()
    await here.callbacks()
    assert here.callback_states() == ["applied"]
    here.clock.turn(0)
    await here.poll()
    assert part(here, second)["obtained"]["via"] == "callback"


async def test_a_follower_ends_by_itself_where_nothing_else_ends_it(database: Database) -> None:
    here, (first, second) = _twins(database, asc(submits=[job("j1")]), deadline=600)
    await here.dispatch()
    call_off(here, second)
    third = ask(here, here.detection(first).media_id or "")
    here.clock.turn(1200)
    with database.writing() as session:
        expire_overdue(session, only(here, third).id, here.policy, here.clock())
    assert outcome(here, third)[0] == "expired"


async def test_after_the_leaders_end_nobody_follows_it(database: Database) -> None:
    here, (first, second) = _twins(database, asc(submits=[said("broken"), said("broken"), said("ai")]))
    await here.dispatch()
    await here.dispatch()
    assert [outcome(here, each)[0] for each in (first, second)] == ["failed", "failed"]
    third = ask(here, here.detection(first).media_id or "")
    assert (only(here, third).follows_run_id, only(here, third).leader_key is not None) == (None, True)


async def test_the_timeline_says_whom_it_follows_and_that_a_vendor_was_at_work(database: Database) -> None:
    here, (first, second) = _twins(database, asc(submits=[job("j1")], fetches=[said("ai")]))
    await here.dispatch()
    here.clock.turn(60)
    await here.poll()
    with database.reading() as session:
        timeline = assemble(session, here.detection(second), here.clock())
    told = {fact.kind: fact.more for fact in timeline.facts}
    assert told["run.following"] == {"detector": "asc", "leader": only(here, first).id}
    assert told["run.reused"]["from_run_id"] == only(here, first).id
    assert "run.submitted" not in told
    assert timeline.waits["vendor_ms"] == 61_000
