"""Each try to hand a run to its vendor is on the story, once and for good, and is told nowhere else."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import col, select

from service.detections.changes import cancel
from service.detectors.port import Raw, RunContext
from service.kit.clock import rfc3339
from service.kit.db.database import Database
from service.retention.erase import erase_detection
from service.runs.load.lock import lock_detection
from service.runs.state.models import Observation, RawBody
from service.runs.topics import topic_of
from service.timeline.assemble import Timeline, assemble
from service.timeline.fact import StreamPosition
from tests.detections.rows import World, alter, world
from tests.detections.scripted import NOW, Answer, aippim, asc, job, lost, not_sent, raw, said

BUSY = raw({"message": "come later"}, 503)


def _story(here: World, detection_id: str) -> Timeline:
    with here.database.reading() as session:
        return assemble(session, here.detection(detection_id), here.clock())


def _tries(here: World, detection_id: str) -> list[dict[str, Any]]:
    return [fact.shown() for fact in _story(here, detection_id).facts if fact.kind == "run.submitted"]


def _some(fact: dict[str, Any], *names: str) -> tuple[Any, ...]:
    return tuple(fact[name] for name in names)


def _rows(here: World) -> list[Observation]:
    with here.database.reading() as session:
        return list(session.exec(select(Observation).order_by(col(Observation.n))))


async def _three_tries(database: Database) -> tuple[World, str]:
    """Refused, then lost, then accepted a second after it left; answered by a poll 45 s later."""

    async def a_second_later(_context: RunContext) -> Raw:
        here.clock.turn(1)
        return job("j1")

    async def answer(_context: RunContext) -> Raw:
        return raw({"said": "ai"}, at=here.clock())

    here = world(database, asc(submits=[BUSY, lost(), a_second_later], fetches=[answer]))
    detection_id = here.submit("asc")
    for wait in (5, 90, 45):
        await here.dispatch()
        here.clock.turn(wait)
    await here.poll()
    return here, detection_id


async def test_every_try_is_told_as_it_went(database: Database) -> None:
    here, detection_id = await _three_tries(database)
    tries = _tries(here, detection_id)
    assert [_some(fact, "try", "outcome", "http_status", "reason_code", "job_id") for fact in tries] == [
        (1, "deferred", 503, "vendor_error", None),
        (2, "unknown", None, None, None),
        (3, "accepted", 200, None, "j1"),
    ]
    assert [fact["possible_duplicate_charge"] for fact in tries] == [False, False, True]
    assert [fact["at"][14:19] for fact in tries] == ["00:00", "00:05", "01:35"]
    assert [fact["recorded_at"][14:19] for fact in tries] == ["00:00", "00:05", "01:36"]
    assert tries[0]["reason_text"] == "come later"
    assert "reset" in tries[1]["reason_text"]


async def test_a_request_that_may_have_been_taken_is_the_vendors_wait_and_a_pause_of_ours_is_not(
    database: Database,
) -> None:
    here, detection_id = await _three_tries(database)
    assert here.clock() == NOW + timedelta(seconds=141)
    assert _story(here, detection_id).waits == {"vendor_ms": 136_000, "relay_ms": 5000, "customer_ms": 0}


async def test_a_reader_who_follows_is_told_each_try_once(database: Database) -> None:
    here = world(database, asc(submits=[BUSY, lost(), job("j1")], fetches=[said("ai")]))
    detection_id = here.submit("asc")
    reader, told = StreamPosition(), []
    for step in (here.dispatch, here.dispatch, here.dispatch, here.poll):
        await step()
        for fact in reader.unseen(_story(here, detection_id).facts):
            reader.take(fact)
            told.append((fact.kind, fact.key))
        here.clock.turn(90)
    assert [kind for kind, _ in told].count("run.submitted") == 3
    assert len(told) == len(set(told)) == len(_story(here, detection_id).facts)


async def test_a_submission_in_flight_is_told_and_its_end_as_another_fact(database: Database) -> None:
    reader, told = StreamPosition(), list[tuple[Any, ...]]()

    def read() -> None:
        for fact in reader.unseen(_story(here, detection_id).facts):
            reader.take(fact)
            if fact.kind == "run.submitted":
                told.append(_some(fact.shown(), "detector", "try", "outcome", "possible_duplicate_charge"))

    async def lost_while_looked_at(_context: RunContext) -> Raw:
        read()
        read()
        raise lost()

    async def taken_while_looked_at(_context: RunContext) -> Raw:
        read()
        return job("j1")

    here = world(database, asc(submits=[lost_while_looked_at, taken_while_looked_at]))
    detection_id = here.submit("asc")
    for _ in range(2):
        await here.dispatch()
        read()
        here.clock.turn(90)
    assert told == [
        ("asc", 1, "in_flight", False),
        ("asc", 1, "unknown", False),
        ("asc", 2, "in_flight", True),
        ("asc", 2, "accepted", True),
    ]
    assert [fact["outcome"] for fact in _tries(here, detection_id)] == ["unknown", "accepted"]


async def test_a_try_says_when_the_next_one_is_and_what_the_vendor_asked_for(database: Database) -> None:
    busy = raw({"message": "come later"}, 429, retry_after="7")
    here = world(database, asc(submits=[busy, BUSY, lost(), lost()]), deadline=100)
    detection_id = here.submit("asc")
    for wait in (7, 10, 90):
        await here.dispatch()
        here.clock.turn(wait)
    tries = _tries(here, detection_id)
    assert [_some(fact, "next_attempt_at", "retry_after_seconds") for fact in tries] == [
        ("2026-11-20T12:00:07.000Z", 7),  # longer than our own first pause, which is 5 s
        ("2026-11-20T12:00:17.000Z", None),  # twice 5 s
        (None, None),  # the deadline comes before the repetition would
    ]


async def test_who_listens_to_the_detection_is_woken_by_a_try(database: Database) -> None:
    here = world(database, asc(submits=[BUSY]))
    detection_id = here.submit("asc")
    alter(database, [here.detection(detection_id)], status="running")  # so that its beginning wakes nobody
    database.wake.attach()
    woken = database.wake.subscribe(topic_of(detection_id))
    await here.dispatch()
    await asyncio.wait_for(woken.wait(), 10)
    database.wake.unsubscribe(topic_of(detection_id), woken)


async def test_no_result_knows_of_tries(database: Database) -> None:
    here, detection_id = await _three_tries(database)
    (result,) = here.results(detection_id)
    (detector,) = result["detectors"]
    assert [event["via"] for event in detector["raw_events"]] == ["poll"]
    assert (detector["obtained"]["via"], detector["obtained"]["callbacks_seen"]) == ("poll", 0)
    assert [fact.kind for fact in _story(here, detection_id).facts].count("run.observed") == 1


async def test_the_answers_to_tries_are_kept_and_numbered_with_what_was_seen(database: Database) -> None:
    here, _ = await _three_tries(database)
    rows = _rows(here)
    assert [(row.n, row.via, row.effect) for row in rows] == [
        (1, "submit", "none"),
        (2, "submit", "none"),
        (3, "submit", "none"),
        (4, "poll", "answer_succeeded"),
    ]
    with database.reading() as session:
        kept = {row.sha256: row.body for row in session.exec(select(RawBody))}
    assert [kept.get(row.body_sha256 or "") for row in rows[:3]] == [BUSY.body, None, job("j1").body]
    assert len(kept) == 3


async def test_erasing_takes_the_words_and_the_bytes_of_tries_and_leaves_that_they_were(database: Database) -> None:
    here, detection_id = await _three_tries(database)
    with database.writing() as session:
        erase_detection(session, lock_detection(session, detection_id), here.clock())
    tries = _tries(here, detection_id)
    assert [(fact["outcome"], fact["reason_text"]) for fact in tries] == [
        ("deferred", None), ("unknown", None), ("accepted", None),
    ]  # fmt: skip
    with database.reading() as session:
        assert session.exec(select(RawBody)).all() == []


@pytest.mark.parametrize(
    ("answer", "outcome", "status"),
    [(not_sent(), "not_sent", None), (raw({}, 401), "refused", 401), (said("human"), "answered", 200)],
)
async def test_how_a_submission_went_is_told(
    database: Database, answer: Answer, outcome: str, status: int | None
) -> None:
    here = world(database, asc(submits=[answer]))
    detection_id = here.submit("asc")
    await here.dispatch()
    (fact,) = _tries(here, detection_id)
    assert _some(fact, "outcome", "http_status", "step", "job_id") == (outcome, status, "submit", None)


@pytest.mark.parametrize(
    ("answer", "outcome", "status"),
    [
        (not_sent(), "not_sent", None),
        (lost(), "unknown", None),
        (BUSY, "deferred", 503),
        (raw({}, 401), "refused", 401),
    ],
)
async def test_an_upload_that_did_not_succeed_is_a_try(
    database: Database, answer: Answer, outcome: str, status: int | None
) -> None:
    here = world(database, aippim(prepares=[answer, raw({"ref": "m1"})], submits=[job("t1")]))
    detection_id = here.submit("aippim/standard")
    await here.dispatch()
    (fact,) = _tries(here, detection_id)
    assert _some(fact, "outcome", "http_status", "step", "prepared_ref") == (outcome, status, "prepare", None)
    here.clock.turn(5)
    await here.dispatch()
    if outcome != "refused":
        _, accepted = _tries(here, detection_id)
        # An upload is not billed: losing sight of it doubles no charge.
        assert _some(accepted, "try", "prepared_ref", "possible_duplicate_charge") == (2, "m1", False)


async def test_a_try_whose_worker_died_is_told_when_it_is_found(database: Database) -> None:
    here = world(database, asc(), resubmit_after=300)
    detection_id = here.submit("asc")
    alter(database, [here.run()], submit_started_at=NOW, submit_tries=1, lease_token="dead")
    (in_flight,) = _tries(here, detection_id)
    assert in_flight["outcome"] == "in_flight"
    here.clock.turn(100)
    await here.dispatch()
    (fact,) = _tries(here, detection_id)
    assert _some(fact, "outcome", "at") == ("unknown", "2026-11-20T12:00:00.000Z")
    assert "process" in fact["reason_text"]
    assert _story(here, detection_id).waits["vendor_ms"] == 100_000


async def test_a_job_that_a_cancellation_overtook_is_told_all_the_same(database: Database) -> None:
    async def cancelled(_context: RunContext) -> Raw:
        assert [fact["outcome"] for fact in _tries(here, detection_id)] == ["in_flight"]
        here.clock.turn(2)
        with database.writing() as session:
            cancel(session, lock_detection(session, detection_id), here.policy, here.clock())
        here.clock.turn(1)
        return job("j1")

    here = world(database, asc(submits=[cancelled]))
    detection_id = here.submit("asc")
    await here.dispatch()
    (fact,) = _tries(here, detection_id)
    assert _some(fact, "try", "outcome", "recorded_at") == (1, "accepted", rfc3339(here.clock()))
    assert _story(here, detection_id).waits["vendor_ms"] == 2000


async def test_a_job_that_a_callback_named_is_told_with_the_callback(database: Database) -> None:
    here = world(database, asc(submits=[lost()]))
    detection_id = here.submit("asc")
    await here.dispatch()
    here.arrive(here.run().id, {"said": "running"}, job_id="j1")
    await here.callbacks()
    assert [fact["outcome"] for fact in _tries(here, detection_id)] == ["unknown"]
    called = [fact.more for fact in _story(here, detection_id).facts if fact.kind == "callback.received"]
    assert [fact["job_id"] for fact in called] == ["j1"]


async def test_a_callback_that_names_another_job_does_not_show_it(database: Database) -> None:
    here = world(database, asc(submits=[job("j1")]))
    detection_id = here.submit("asc")
    await here.dispatch()
    here.arrive(here.run().id, {"said": "running"}, job_id="somebody else's")
    await here.callbacks()
    called = [fact.more for fact in _story(here, detection_id).facts if fact.kind == "callback.received"]
    assert [(fact["job_id"], fact["state"]) for fact in called] == [(None, "conflict")]


async def test_a_job_that_another_run_has_is_told_as_refused(database: Database) -> None:
    here = world(database, asc(submits=[job("j1"), job("j1")]))
    here.submit("asc")
    await here.dispatch()
    here.clock.turn(1)
    second = here.submit("asc")
    await here.dispatch()
    (fact,) = _tries(here, second)
    assert _some(fact, "outcome", "reason_code", "job_id") == ("refused", "schema_mismatch", None)


async def test_what_was_seen_says_why_it_did_not_count(database: Database) -> None:
    here = world(database, asc(submits=[job("j1")], fetches=[said("odd"), BUSY]))
    detection_id = here.submit("asc")
    await here.dispatch()
    for wait in (45, 20):
        here.clock.turn(wait)
        await here.poll()
    seen = [fact.more for fact in _story(here, detection_id).facts if fact.kind == "run.observed"]
    assert sorted((_some(fact, "reason_code", "unknown_status") for fact in seen), key=str) == [
        ("schema_mismatch", "odd"), ("vendor_error", None),
    ]  # fmt: skip
    assert {fact["reason_text"] for fact in seen} == {
        "The vendor named a status that its documents do not.", "come later",
    }  # fmt: skip
