"""A run on its way to its vendor: what is on record before, and what each way it can go leaves behind."""

import asyncio
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from service.detectors.port import Raw, RunContext
from service.kit.db.database import Database
from service.runs.state.models import Run
from service.vendor_calls.admission import claim_submissions
from tests.detections.rows import PLAN, SOUND, World, alter, world
from tests.detections.scripted import NOW, Answer, aippim, asc, job, lost, not_sent, raw, said


async def test_that_a_submission_leaves_is_committed_before_it_does(database: Database) -> None:
    async def look(_context: RunContext) -> Raw:
        seen.append(here.run())
        return job("j1")

    seen: list[Run] = []
    here = world(database, asc(submits=[look]))
    detection_id = here.submit("asc")
    await here.dispatch()
    assert [(run.state, run.submit_started_at, run.submit_tries) for run in seen] == [("queued", NOW, 1)]
    assert here.detection(detection_id).status == "running"


async def test_an_accepted_run_waits_for_its_first_poll(database: Database) -> None:
    here = world(database, asc(submits=[job("j1", 20)]), first_poll=None)
    here.submit("asc")
    await here.dispatch()
    run = here.run()
    assert (run.state, run.vendor_job_id, run.lease_token) == ("waiting", "j1", None)
    assert run.due_at == NOW + timedelta(seconds=25)


async def test_the_first_step_is_taken_once_and_its_reference_is_kept(database: Database) -> None:
    vendor = aippim(prepares=[raw({"ref": "music_1"})], submits=[not_sent(), job("t1")])
    here = world(database, vendor)
    here.submit("aippim/standard")
    await here.dispatch()
    assert (here.run().prepared_ref, here.run().state) == ("music_1", "queued")
    here.clock.turn(6)
    await here.dispatch()
    assert here.run().state == "waiting"
    assert [(step, ask.prepared_ref) for step, ask in vendor.asked] == [
        ("prepare", None),
        ("submit", "music_1"),
        ("submit", "music_1"),
    ]


async def test_what_was_not_sent_leaves_again_later_and_later(database: Database) -> None:
    here = world(database, asc(submits=[not_sent(), not_sent(), not_sent(), job("j1")]))
    here.submit("asc")
    for wait in (5, 10, 20):
        await here.dispatch()
        run = here.run()
        assert (run.state, run.submit_started_at, run.waiting_for) == ("queued", None, "vendor_error")
        assert run.due_at == here.clock() + timedelta(seconds=wait)
        here.clock.turn(wait)
    await here.dispatch()
    assert (here.run().state, here.run().waiting_for, here.run().resubmitted) == ("waiting", None, False)


async def test_a_failing_first_step_is_repeated_later_and_later(database: Database) -> None:
    vendor = aippim(prepares=[lost(), raw({}, 503), not_sent()])
    here = world(database, vendor)
    here.submit("aippim/standard")
    for wait in (5, 10, 20):
        await here.dispatch()
        assert here.run().due_at == here.clock() + timedelta(seconds=wait)
        here.clock.turn(wait)
    assert vendor.times("submit") == 0


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_complete_refusal_is_an_answer_and_its_retry_after_is_honoured(database: Database, status: int) -> None:
    here = world(database, asc(submits=[raw({}, status, retry_after="77"), job("j1")]))
    here.submit("asc")
    await here.dispatch()
    assert (here.run().state, here.run().due_at) == ("queued", NOW + timedelta(seconds=77))
    here.clock.turn(77)
    await here.dispatch()
    assert (here.run().state, here.run().resubmitted) == ("waiting", False)


async def test_a_submission_of_unknown_outcome_is_repeated_once_and_marked(database: Database) -> None:
    vendor = asc(submits=[lost(), job("j2")])
    here = world(database, vendor)
    detection_id = here.submit("asc")
    await here.dispatch()
    assert (here.run().state, here.run().due_at) == ("unknown", NOW + timedelta(seconds=90))
    here.clock.turn(89)
    await here.dispatch()
    assert vendor.times("submit") == 1
    here.clock.turn(1)
    await here.dispatch()
    assert (here.run().state, here.run().resubmitted, vendor.times("submit")) == ("waiting", True, 2)
    vendor.fetches.append(said("ai"))
    here.clock.turn(45)
    await here.poll()
    (result,) = here.results(detection_id)
    assert result["detectors"][0]["possible_duplicate_charge"] is True


async def test_a_second_unknown_outcome_waits_for_the_deadline(database: Database) -> None:
    vendor = asc(submits=[lost(), lost()])
    here = world(database, vendor)
    detection_id = here.submit("asc")
    for _ in range(20):
        await here.dispatch()
        here.clock.turn(179)
    assert vendor.times("submit") == 2
    assert here.run().due_at == NOW + timedelta(seconds=3600)
    here.clock.turn(20)
    await here.dispatch()
    assert (here.run().state, here.run().reason_code) == ("timed_out", "no_callback_no_result")
    assert here.detection(detection_id).status == "expired"


async def test_a_repetition_that_was_not_taken_leaves_the_first_outcome_unknown(database: Database) -> None:
    here = world(database, asc(submits=[lost(), not_sent()], fetches=[]))
    here.submit("asc")
    await here.dispatch()
    here.clock.turn(90)
    await here.dispatch()
    assert (here.run().state, here.run().resubmitted) == ("unknown", False)
    here.arrive(here.run().id, {"said": "running"}, job_id="j1")
    await here.callbacks()
    assert (here.run().state, here.run().vendor_job_id) == ("waiting", "j1")


async def test_a_run_whose_worker_died_while_sending_is_of_unknown_outcome(database: Database) -> None:
    vendor = asc(submits=[job("j1")])
    here = world(database, vendor, resubmit_after=300)
    here.submit("asc")
    alter(database, [here.run()], submit_started_at=NOW, submit_tries=1, lease_token="dead")
    here.clock.turn(100)
    await here.dispatch()
    assert (here.run().state, here.run().waiting_for, vendor.asked) == ("unknown", "unknown_outcome", [])
    assert here.run().due_at == NOW + timedelta(seconds=300)


@pytest.mark.parametrize("answer", [lost(), not_sent(), raw({}, 429), raw({}, 503)])
async def test_a_worker_that_lost_its_lease_records_nothing(database: Database, answer: Raw | Exception) -> None:
    async def overtaken(_context: RunContext) -> Raw:
        alter(database, [here.run()], lease_token="somebody else's")
        before.append(here.run())
        if isinstance(answer, Exception):
            raise answer
        return answer

    before: list[Run] = []
    here = world(database, asc(submits=[overtaken]))
    here.submit("asc")
    await here.dispatch()
    assert [here.run()] == before
    assert (here.run().state, here.run().vendor_job_id) == ("queued", None)


async def test_a_worker_that_lost_its_lease_sends_nothing(database: Database) -> None:
    async def overtaken(_context: RunContext) -> Raw:
        alter(database, [here.run()], lease_token="somebody else's")
        return raw({"ref": "music_1"})

    vendor = aippim(prepares=[overtaken])
    here = world(database, vendor)
    here.submit("aippim/standard")
    await here.dispatch()
    assert (here.run().prepared_ref, vendor.times("submit")) == (None, 0)


@pytest.mark.parametrize(
    ("media", "reason"), [({"format": "mp3"}, "unsupported_format"), ({"bytes": 1001}, "file_too_large")]
)
async def test_what_a_detector_does_not_take_fails_without_asking_it(
    database: Database, media: dict[str, object], reason: str
) -> None:
    vendor, other = asc(), aippim(prepares=[raw({"error": "unauthorized"}, 401)])
    here = world(database, vendor, other)
    detection_id = here.submit("asc", "aippim/pro", media=media)
    await here.dispatch()
    run = here.runs()[0]
    assert (run.state, run.reason_code, vendor.asked) == ("failed", reason, [])
    assert here.detection(detection_id).status == "failed"


async def test_a_submission_answered_at_once_ends_the_run(database: Database) -> None:
    here = world(database, asc(submits=[said("human")]))
    detection_id = here.submit("asc")
    await here.dispatch()
    (result,) = here.results(detection_id)
    assert (result["verdict"], result["detectors"][0]["obtained"]["via"]) == ("no_ai_detected", "sync")


async def test_a_final_refusal_fails_the_run(database: Database) -> None:
    here = world(database, asc(submits=[raw({"error": "unauthorized"}, 401)]))
    here.submit("asc")
    await here.dispatch()
    assert (here.run().state, here.run().reason_code) == ("failed", "auth_failed")


async def test_a_run_refused_until_its_deadline_failed_for_the_last_reason(database: Database) -> None:
    here = world(database, asc(submits=[raw({}, 503), raw({}, 429, retry_after="9999")]))
    here.submit("asc")
    await here.dispatch()
    here.clock.turn(5)
    await here.dispatch()
    assert here.run().due_at == NOW + timedelta(seconds=3600)
    here.clock.turn(3600)
    await here.dispatch()
    assert (here.run().state, here.run().reason_code) == ("failed", "rate_limited")


async def test_a_run_that_may_have_been_taken_is_not_said_to_have_been_refused(database: Database) -> None:
    here = world(database, asc())
    here.submit("asc")
    alter(database, [here.run()], last_refusal="rate_limited", submit_started_at=NOW)
    here.clock.turn(3600)
    await here.dispatch()
    assert (here.run().state, here.run().reason_code) == ("timed_out", "no_callback_no_result")


async def test_a_vendor_that_names_another_runs_job_is_not_believed(database: Database) -> None:
    here = world(database, asc(submits=[job("j1"), job("j1")]))
    for _ in range(2):
        here.submit("asc")
        await here.dispatch()
    first, second = here.runs()
    assert (first.state, first.vendor_job_id) == ("waiting", "j1")
    assert (second.state, second.reason_code, second.vendor_job_id) == ("failed", "schema_mismatch", None)


async def test_the_line_of_a_dispatch_has_the_vendors_status_where_it_answered(database: Database) -> None:
    answers: list[Answer] = [raw({}, 503), not_sent(), lost(), job("j1")]
    here = world(
        database, asc(submits=answers), aippim(prepares=[raw({}, 429), raw({"ref": "m"})], submits=[said("ai")])
    )
    here.submit("asc", "aippim/standard")
    with capture_logs() as logs:
        for wait in (5, 10, 90, 0):
            await here.dispatch()
            here.clock.turn(wait)
    lines = [(line["vendor"], line["outcome"], line["http_status"]) for line in logs if "took_ms" in line]
    assert [line[1:] for line in lines if line[0] == "asc"] == [
        ("deferred", 503), ("deferred", None), ("outcome_unknown", None), ("accepted", 200),
    ]  # fmt: skip
    assert [line[1:] for line in lines if line[0] == "aippim"] == [("deferred", 429), ("answered", 200)]


async def test_two_workers_never_claim_the_same_run(database: Database) -> None:
    here = world(database, asc())
    for _ in range(6):
        here.submit("asc")
    vendors, later = here.policy.catalogue, NOW + timedelta(seconds=PLAN.lease)
    claims = (database.write(claim_submissions, vendors, now=NOW, limit=4) for _ in range(3))
    claimed = [one.run.id for found, _ in await asyncio.gather(*claims) for one in found]
    assert sorted(claimed) == sorted(run.id for run in here.runs())
    for at, again in ((later - timedelta(seconds=1), 0), (later, 6)):
        found, _ = await database.write(claim_submissions, vendors, now=at, limit=9)
        assert len(found) == again


async def test_a_vendor_no_longer_configured_is_waited_for_visibly(database: Database) -> None:
    here = world(database, asc())
    here.submit("asc")
    await World(database, world(database).policy).dispatch()
    assert (here.run().state, here.run().waiting_for) == ("queued", "auth_failed")


async def test_after_drain_nothing_new_starts(database: Database) -> None:
    here = world(database, asc())
    here.submit("asc")
    await here.dispatcher.drain(1)
    assert await here.dispatcher.step() is False
    assert here.run().lease_token is None


async def test_the_vendor_is_given_the_bytes_we_hashed(database: Database) -> None:
    vendor = aippim(prepares=[raw({"ref": "m"})], submits=[job("t1")])
    here = world(database, vendor)
    here.submit("aippim/standard")
    await here.dispatch()
    _, ask = vendor.asked[0]
    assert b"".join([chunk async for chunk in ask.read_media()]) == SOUND
