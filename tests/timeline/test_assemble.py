"""A detection's story: every fact, in order, from all rooms."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlalchemy import event

from service.detections.changes import recheck
from service.kit.db.database import Database
from service.runs.load.lock import lock_detection
from service.timeline.assemble import Timeline, assemble
from service.vendor_calls.fetch_source import Failure, record_failure, record_source
from service.verdicts.votes import OutcomeReason, Rule
from service.webhooks.models import Endpoint
from service.webhooks.queue.record import record_attempts
from tests.detections.rows import World, add_media, alter, policy_of
from tests.detections.scripted import NOW, Scripted, aippim, asc, job, lost, raw, said
from tests.webhooks.rows import claimed, finished, outbox, put_endpoint


def _world(database: Database, *adapters: Scripted) -> World:
    return World(database, replace(policy_of(*adapters), outbox=outbox()))


def _story(here: World, detection_id: str) -> Timeline:
    with here.database.reading() as session:
        return assemble(session, here.detection(detection_id), here.clock())


def _kinds(story: Timeline, *but: str) -> list[str]:
    return [fact.kind for fact in story.facts if fact.kind not in but]


def _of(story: Timeline, kind: str) -> list[dict[str, Any]]:
    return [fact.shown() for fact in story.facts if fact.kind == kind]


def _deliver(here: World, status: int) -> None:
    """Whatever is due is tried, and answered with this status."""
    now = here.clock()
    claims = claimed(here.database, now=now)
    with here.database.writing() as session:
        record_attempts(outbox())(session, [finished(claim, status, now=now) for claim in claims])


async def test_the_whole_way_of_a_detection_is_told_in_order(database: Database) -> None:
    here = _world(database, asc(submits=[job("j1")], fetches=[said("running"), said("ai")]))
    endpoint_id, _ = put_endpoint(database)
    detection_id = here.submit("asc")
    here.clock.turn(1)
    await here.dispatch()
    here.clock.turn(45)
    await here.poll()
    here.clock.turn(11)
    here.arrive(here.run().id, {"said": "ai"}, job_id="j1")
    await here.callbacks()
    here.clock.turn(1)
    await here.poll()
    here.clock.turn(2)
    _deliver(here, 503)
    under_way = _story(here, detection_id)
    here.clock.turn(4)
    _deliver(here, 200)
    story = _story(here, detection_id)
    assert _kinds(story, "run.observed", "run.polled", "run.confirmed") == [
        "detection.created", "run.queued", "run.submitted", "callback.received", "run.ended", "detection.decided",
        "event.recorded", "event.recorded", "delivery.created", "delivery.attempted", "delivery.attempted",
        "delivery.succeeded",
    ]  # fmt: skip
    run_id = here.run().id
    (submitted,) = _of(story, "run.submitted")
    assert (submitted["run_id"], submitted["job_id"], submitted["possible_duplicate_charge"]) == (run_id, "j1", False)
    (called,) = _of(story, "callback.received")
    assert (called["run_id"], called["authenticity"], called["state"], called["seen"]) == (
        run_id, "url_token", "applied", 1,
    )  # fmt: skip
    assert [(fact["via"], fact["effect"], fact["verdict"]) for fact in _of(story, "run.observed")] == [
        ("poll", "none", None),
        ("callback", "answer_succeeded", "ai_generated"),  # the vendor's clock stands still in this test
        ("callback", "confirm", "ai_generated"),
    ]
    assert (len(_of(story, "run.polled")), len(_of(story, "run.confirmed"))) == (1, 1)
    first, second = _of(story, "delivery.attempted")
    assert (first["n"], first["status_code"], first["error_class"], second["status_code"]) == (1, 503, "http_5xx", 200)
    assert first["explanation"] == "A sentence."
    assert (first["endpoint_id"], first["next_attempt_at"]) == (endpoint_id, None)
    assert _of(under_way, "delivery.attempted")[0]["next_attempt_at"] == "2026-11-20T12:01:01.000Z"
    assert (under_way.is_over, story.is_over) == (False, True)
    assert under_way.waits["customer_ms"] == 2000
    assert (sum(story.waits.values()), story.waits["customer_ms"]) == (64_000, 6000)
    assert story.shown()["data"][0] == {
        "at": "2026-11-20T12:00:00.000Z", "kind": "detection.created", "rule": "consensus", "external_id": None,
    }  # fmt: skip


async def test_a_detection_under_way_tells_what_happened_so_far(database: Database) -> None:
    here = _world(database, asc(submits=[job("j1")]))
    detection_id = here.submit("asc")
    assert _kinds(_story(here, detection_id)) == ["detection.created", "run.queued"]
    await here.dispatch()
    here.clock.turn(5)
    story = _story(here, detection_id)
    assert _kinds(story) == ["detection.created", "run.queued", "run.submitted"]
    assert (story.waits, story.is_over) == ({"vendor_ms": 5000, "relay_ms": 0, "customer_ms": 0}, False)


async def test_a_submission_of_unknown_outcome_says_so_and_its_repetition_too(database: Database) -> None:
    here = _world(database, asc(submits=[lost(), job("j1")]))
    detection_id = here.submit("asc")
    await here.dispatch()
    (left,) = _of(_story(here, detection_id), "run.submitted")
    assert (left["outcome"], left["possible_duplicate_charge"]) == ("unknown", False)
    here.clock.turn(90)
    await here.dispatch()
    first, again = _of(_story(here, detection_id), "run.submitted")
    assert first == left
    assert (again["outcome"], again["possible_duplicate_charge"]) == ("accepted", True)


async def test_a_rejected_callback_is_on_the_story_of_the_job_it_named(database: Database) -> None:
    here = _world(database, asc(submits=[job("j1"), job("j2")]))
    named, other = here.submit("asc"), here.submit("asc")
    await here.dispatch()
    here.arrive("", {"said": "human"}, job_id=here.runs(named)[0].vendor_job_id, quarantined=True, note="forged")
    (rejected,) = _of(_story(here, named), "callback.rejected")
    assert (rejected["run_id"], rejected["note"]) == (here.runs(named)[0].id, "forged")
    assert "callback.rejected" not in _kinds(_story(here, other))


async def test_a_callback_that_came_before_its_run_knew_the_job_is_told(database: Database) -> None:
    here = _world(database, asc(submits=[job("j1")]))
    detection_id = here.submit("asc")
    here.arrive(here.run().id, {"said": "ai"})
    await here.callbacks()
    assert [fact["state"] for fact in _of(_story(here, detection_id), "callback.received")] == ["parked"]
    await here.dispatch()
    await here.callbacks()
    (matched,) = _of(_story(here, detection_id), "callback.received")
    assert (matched["state"], matched["note"]) == ("applied", "parked until its run knew the job")


async def test_a_callback_that_claims_an_end_says_when_it_was_to_be_confirmed(database: Database) -> None:
    here = _world(database, asc(submits=[job("j1")], fetches=[said("running")]))
    detection_id = here.submit("asc")
    await here.dispatch()
    here.arrive(here.run().id, {"said": "ai"}, job_id="j1")
    await here.callbacks()
    await here.poll()
    here.clock.turn(3)
    here.arrive(here.run().id, {"said": "human"}, job_id="j1")
    here.arrive(here.run().id, {"said": "running"}, job_id="j1", received_at=here.clock() + timedelta(seconds=1))
    await here.callbacks()
    assert [fact.get("confirm_due_at") for fact in _of(_story(here, detection_id), "callback.received")] == [
        "2026-11-20T12:00:00.000Z", "2026-11-20T12:00:10.000Z", None,
    ]  # fmt: skip


async def test_every_fact_of_a_run_names_its_detector(database: Database) -> None:
    here = _world(database, asc(submits=[job("j1")], fetches=[said("ai")]))
    detection_id = here.submit("asc")
    await here.dispatch()
    here.arrive(here.run().id, {"said": "ai"}, job_id="j1")
    await here.callbacks()
    await here.poll()
    told = [fact.shown() for fact in _story(here, detection_id).facts]
    assert {fact["kind"] for fact in told if "run_id" in fact} >= {"run.queued", "callback.received", "event.recorded"}
    assert [fact for fact in told if ("run_id" in fact) != (fact.get("detector") == "asc")] == []


async def test_a_delivery_names_its_endpoints_host_and_path_and_no_secret(database: Database) -> None:
    here = _world(database, asc(submits=[said("ai")]))
    endpoint_id, _ = put_endpoint(database)
    detection_id = here.submit("asc")
    await here.dispatch()
    with database.writing() as session:
        session.get_one(Endpoint, endpoint_id).url = "https://me:pass@shop.example:8443/hear/us?key=secret#x"
    _deliver(here, 200)
    told = [fact.shown() for fact in _story(here, detection_id).facts if fact.kind.startswith("delivery.")]
    assert len(told) == 3
    assert {fact["endpoint"] for fact in told} == {"shop.example:8443/hear/us"}


async def test_a_cascades_second_is_reserved_until_it_is_asked(database: Database) -> None:
    here = _world(database, aippim(), asc())
    story = _story(here, here.submit("aippim/standard", "asc", rule=Rule.CASCADE))
    assert [(fact["kind"], fact["detector"]) for fact in (_of(story, "run.queued") + _of(story, "run.reserved"))] == [
        ("run.queued", "aippim/standard"),
        ("run.reserved", "asc"),
    ]


async def test_a_delivery_that_waits_for_an_endpoint_says_it_is_held(database: Database) -> None:
    here = _world(database, asc(submits=[said("ai")]))
    put_endpoint(database, status="disabled")
    detection_id = here.submit("asc")
    await here.dispatch()
    story = _story(here, detection_id)
    assert _kinds(story)[-2:] == ["delivery.created", "delivery.held"]
    assert story.is_over  # nothing will be tried without the owner's doing


async def test_tries_that_go_on_for_days_do_not_keep_a_story_open(database: Database) -> None:
    here = _world(database, asc(submits=[said("ai")]))
    put_endpoint(database)
    detection_id = here.submit("asc")
    await here.dispatch()
    assert not _story(here, detection_id).is_over
    here.clock.now = NOW + timedelta(seconds=30)
    assert _story(here, detection_id).is_over


async def test_a_source_that_was_fetched_or_given_up_is_told(database: Database) -> None:
    here = _world(database, asc())
    detection_id = here.submit("asc", source_url="https://cdn.example/a.mp3")
    lease = {"lease_token": "l", "source_tries": 2}
    alter(database, [here.detection(detection_id)], **lease)
    with database.writing() as session:
        media_id = add_media(session).id
        record_source(session, detection_id, "l", media_id, here.policy, here.clock())
    (fetched,) = _of(_story(here, detection_id), "source.fetched")
    assert (fetched["media_id"], fetched["tries"]) == (media_id, 2)
    other_id = here.submit("asc", source_url="https://cdn.example/b.mp3")
    alter(database, [here.detection(other_id)], **lease)
    failure = Failure(OutcomeReason.FILE_TOO_LARGE, retryable=False, detail="too large")
    with database.writing() as session:
        record_failure(session, other_id, "l", failure, here.policy, here.clock())
    story = _story(here, other_id)
    assert [(one["reason"], one["host"]) for one in _of(story, "source.failed")] == [("file_too_large", "cdn.example")]
    assert [fact["reason_code"] for fact in _of(story, "run.ended")] == ["file_too_large"]


async def test_a_detection_asked_again_shows_both_rounds(database: Database) -> None:
    here = _world(database, asc(submits=[said("ai"), said("human")]))
    detection_id = here.submit("asc")
    await here.dispatch()
    here.clock.turn(60)
    with database.writing() as session:
        recheck(session, lock_detection(session, detection_id), here.policy, here.clock())
    await here.dispatch()
    story = _story(here, detection_id)
    assert [fact["round"] for fact in _of(story, "run.queued")] == [1, 2]
    assert [fact["verdict"] for fact in _of(story, "detection.decided")] == ["ai_generated", "no_ai_detected"]
    assert len(_of(story, "detection.rechecked")) == 1
    assert sum(story.waits.values()) == 0  # the first answer was there at once


async def test_a_story_takes_as_many_queries_for_five_endpoints_as_for_one(database: Database) -> None:
    here = _world(
        database, aippim(prepares=[raw({"ref": "m1"})], submits=[said("ai")]), asc(submits=[said("ai"), said("ai")])
    )
    put_endpoint(database)
    short = here.submit("asc")
    await here.dispatch()
    for _ in range(4):
        put_endpoint(database)
    long = here.submit("asc", "aippim/standard")
    await here.dispatch()
    _deliver(here, 500)
    counted: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda *args: counted.append(args[2]))
    _story(here, short)
    of_short = len(counted)
    _story(here, long)
    assert len(counted) == 2 * of_short
