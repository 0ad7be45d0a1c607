"""One detector's part of a result, as the rooms leave it: what it waits for while it is open, and its times."""

from typing import Any

import pytest

from service.detections.changes import cancel
from service.detections.queries import result_of
from service.detectors.port import Raw, RunContext
from service.kit.db.database import Database
from service.runs.load.lock import lock_detection
from service.verdicts.votes import Rule
from tests.detections.rows import World, world
from tests.detections.scripted import NOW, Answer, aippim, asc, job, lost, not_sent, raw, said

BUSY = raw({"message": "come later"}, 503)


def _result(here: World, detection_id: str) -> dict[str, Any]:
    with here.database.reading() as session:
        return result_of(session, here.detection(detection_id), here.policy, full=True)


def _some(fact: dict[str, Any], *names: str) -> tuple[Any, ...]:
    return tuple(fact[name] for name in names)


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


async def test_an_open_result_says_that_its_submission_is_in_flight(database: Database) -> None:
    found: list[dict[str, Any]] = []

    async def looked_at(_context: RunContext) -> Raw:
        found.extend(_result(here, detection_id)["detectors"])
        return job("j1")

    here = world(database, asc(submits=[looked_at]))
    detection_id = here.submit("asc")
    await here.dispatch()
    in_flight, accepted = found[0], _result(here, detection_id)["detectors"][0]
    assert (in_flight["waiting_for"], in_flight["next_look_at"]) == ("answer", None)
    assert in_flight["reason_text"] == "The submission has left; the vendor has not answered it yet."
    assert (accepted["waiting_for"], accepted["reason_text"]) == (None, None)


async def test_an_open_result_says_when_it_is_looked_at_next_and_its_deadline_and_an_ended_one_does_not(
    database: Database,
) -> None:
    here = world(database, asc(submits=[job("j1")], fetches=[said("ai")]))
    detection_id = here.submit("asc")
    await here.dispatch()
    (running,) = _result(here, detection_id)["detectors"]
    assert _some(running, "next_look_at", "deadline_at") == ("2026-11-20T12:00:45.000Z", "2026-11-20T13:00:00.000Z")
    here.clock.turn(45)
    await here.poll()
    (ended,) = _result(here, detection_id)["detectors"]
    assert _some(ended, "next_look_at", "deadline_at") == (None, None)


async def test_a_cascades_second_has_no_deadline_before_its_turn(database: Database) -> None:
    here = world(database, aippim(), asc())
    detection_id = here.submit("aippim/standard", "asc", rule=Rule.CASCADE)
    first, second = _result(here, detection_id)["detectors"]
    assert (first["deadline_at"], second["deadline_at"]) == ("2026-11-20T13:00:00.000Z", None)


async def test_submitted_at_is_when_the_first_that_may_have_been_taken_left(database: Database) -> None:
    here, detection_id = await _three_tries(database)
    timing = here.results(detection_id)[0]["detectors"][0]["timing"]
    # 12:00:00 deferred, 12:00:05 unknown, 12:01:35 accepted; answered by a poll at 12:02:21.
    assert _some(timing, "submitted_at", "received_at", "wall_ms") == (
        "2026-11-20T12:00:05.000Z", "2026-11-20T12:02:21.000Z", 136_000,
    )  # fmt: skip


async def test_a_lost_submission_that_a_callback_names_counts_from_when_it_left(database: Database) -> None:
    here = world(database, asc(submits=[lost()], fetches=[said("ai")]))
    detection_id = here.submit("asc")
    await here.dispatch()
    here.clock.turn(60)
    here.arrive(here.run().id, {"said": "ai"}, job_id="j1")
    await here.callbacks()
    assert here.run().submitted_at == NOW
    assert _result(here, detection_id)["detectors"][0]["timing"]["submitted_at"] == "2026-11-20T12:00:00.000Z"


@pytest.mark.parametrize("answer", [BUSY, not_sent()])
async def test_a_submission_that_was_not_taken_counts_for_no_time(database: Database, answer: Answer) -> None:
    here = world(database, asc(submits=[answer, job("j1")]))
    detection_id = here.submit("asc")
    await here.dispatch()
    assert _result(here, detection_id)["detectors"][0]["timing"]["submitted_at"] is None
    here.clock.turn(5)
    await here.dispatch()
    assert _result(here, detection_id)["detectors"][0]["timing"]["submitted_at"] == "2026-11-20T12:00:05.000Z"


async def test_a_run_without_an_answer_has_no_time_to_it(database: Database) -> None:
    here = world(database, asc(submits=[job("j1")]))
    detection_id = here.submit("asc")
    await here.dispatch()
    here.clock.turn(3)
    with database.writing() as session:
        cancel(session, lock_detection(session, detection_id), here.policy, here.clock())
    timing = here.results(detection_id)[0]["detectors"][0]["timing"]
    assert _some(timing, "submitted_at", "received_at", "wall_ms") == ("2026-11-20T12:00:00.000Z", None, None)


@pytest.mark.parametrize(
    ("answers", "waiting_for", "word"),
    [([said("odd")], "schema_mismatch", "odd"), ([BUSY], "vendor_error", "come later")],
)
async def test_an_open_result_says_what_the_last_question_met(
    database: Database, answers: list[Answer], waiting_for: str, word: str
) -> None:
    here = world(database, asc(submits=[job("j1")], fetches=answers))
    detection_id = here.submit("asc")
    await here.dispatch()
    here.clock.turn(2)
    here.arrive(here.run().id, {"said": "ai"}, job_id="j1")  # so that what meets the trouble is its confirmation
    await here.callbacks()
    await here.poll()
    with database.reading() as session:
        (detector,) = result_of(session, here.detection(detection_id), here.policy, full=False)["detectors"]
    assert (detector["status"], detector["waiting_for"]) == ("running", waiting_for)
    assert word in detector["reason_text"]


async def test_a_lost_submission_says_so_and_not_why_the_one_before_waited(database: Database) -> None:
    here = world(database, asc(submits=[BUSY, lost()]))
    here.submit("asc")
    await here.dispatch()
    assert here.run().reason_text == "come later"
    here.clock.turn(5)
    await here.dispatch()
    assert here.run().waiting_for == "unknown_outcome"
    assert (here.run().reason_text or "").startswith("No answer came")
