"""What follows when a run has ended: the next of a cascade, or one revision and one final event."""

import json
import threading
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import Session, col, select

from service.detections.conclude import conclude, lock_detection
from service.detections.observe import Sighting, observe
from service.detectors.words import Authenticity, Via
from service.events.models import Event
from service.kit.database import Database
from service.media.models import Media
from service.runs.models import Revision
from service.verdicts.votes import Rule
from tests.detections.rows import World, world
from tests.detections.scripted import NOW, aippim, asc, said


def _sighted(word: str, vendor: str = "asc") -> Sighting:
    read = (asc() if vendor == "asc" else aippim()).read(said(word), "asc" if vendor == "asc" else "aippim/pro")
    return Sighting(Via.POLL, said(word), read, Authenticity.TLS_FETCH)


def _answer(here: World, run_id: str, word: str) -> None:
    with here.database.writing() as session:
        observe(session, run_id, _sighted(word), here.policy, here.clock())


def _states(here: World) -> list[tuple[str, str | None]]:
    return [(run.state, run.reason_code) for run in here.runs()]


def test_the_last_answer_ends_the_detection_with_one_revision_and_one_final_event(database: Database) -> None:
    here = world(database, aippim(), asc())
    detection_id = here.submit("asc", "aippim/pro")
    first, second = here.runs()
    _answer(here, first.id, "ai")
    assert (here.results(detection_id), here.events()) == ([], ["detector.completed"])
    _answer(here, second.id, "ai")
    detection = here.detection(detection_id)
    assert (detection.status, detection.verdict, detection.revision) == ("completed", "ai_generated", 1)
    assert detection.completed_at == NOW
    assert here.events() == ["detector.completed", "detector.completed", "detection.completed"]
    with database.reading() as session:
        final = session.exec(select(Event).where(col(Event.final_revision) == 1)).one()
    body = json.loads(final.body)
    assert (body["type"], body["data"]["id"], body["data"]["verdict"]) == (
        "detection.completed",
        detection_id,
        "ai_generated",
    )
    assert "raw" not in body["data"]["detectors"][0]


@pytest.mark.parametrize("chance", range(4))
def test_two_last_votes_at_once_end_it_once(database: Database, chance: int) -> None:
    here = world(database, aippim(), asc())
    detection_id = here.submit("asc", "aippim/pro")
    barrier, problems = threading.Barrier(2), []

    def vote(run_id: str) -> None:
        barrier.wait(10)
        try:
            _answer(here, run_id, "human")
        except Exception as error:  # noqa: BLE001 - shown below, in the test's own thread
            problems.append(error)

    threads = [threading.Thread(target=vote, args=(run.id,)) for run in here.runs()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert problems == []
    (result,) = here.results(detection_id)
    assert result["votes"] == {"ai": 0, "no_ai": 2, "abstained": 0, "no_answer": 0}
    assert sorted(here.events()) == ["detection.completed", "detector.completed", "detector.completed"]


def test_two_looks_at_one_run_at_once_end_it_once(database: Database) -> None:
    here = world(database, asc())
    detection_id = here.submit("asc")
    run_id, barrier = here.run().id, threading.Barrier(2)

    def look(word: str) -> None:
        barrier.wait(10)
        _answer(here, run_id, word)

    threads = [threading.Thread(target=look, args=(word,)) for word in ("ai", "human")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(here.results(detection_id)) == 1
    assert here.events() == ["detector.completed", "detection.completed"]


def test_whoever_concludes_waits_for_the_detections_row(postgres_url: str) -> None:
    database = Database(postgres_url)
    here = world(database, asc())
    detection_id = here.submit("asc")
    voter = threading.Thread(target=_answer, args=(here, here.run().id, "ai"))
    with database.writing() as session:
        lock_detection(session, detection_id)
        voter.start()
        voter.join(0.3)
        assert voter.is_alive()
        assert here.run().state == "queued"
    voter.join(20)
    assert here.run().state == "succeeded"
    database.close()


def test_disagreement_and_missing_quorum_ask_for_a_person(database: Database) -> None:
    here = world(database, aippim(), asc())
    for quorum, words in ((1, ("ai", "human")), (2, ("ai", "broken"))):
        detection_id = here.submit("asc", "aippim/pro", quorum=quorum)
        before = len(here.events())
        for run, word in zip(here.runs(detection_id), words, strict=True):
            _answer(here, run.id, word)
        assert here.events()[before:].count("review.required") == 1
        assert here.detection(detection_id).verdict == "inconclusive"


def test_media_is_let_go_a_while_after_the_end(database: Database) -> None:
    here = world(database, asc())
    detection_id = here.submit("asc")
    media_id = here.detection(detection_id).media_id
    _answer(here, here.run().id, "ai")
    with database.reading() as session:
        assert session.get_one(Media, media_id).delete_after == NOW + timedelta(hours=24)


@pytest.mark.parametrize(
    ("word", "second"),
    [("human", ("skipped", "fallback_not_needed")), ("ai", ("queued", None)), ("broken", ("queued", None))],
)
def test_a_cascade_asks_the_second_only_when_it_is_needed(
    database: Database, word: str, second: tuple[str, str | None]
) -> None:
    here = world(database, aippim(), asc())
    detection_id = here.submit("asc", "aippim/pro", rule=Rule.CASCADE)
    here.clock.turn(60)
    _answer(here, here.runs()[0].id, word)
    assert _states(here)[1] == second
    assert len(here.results(detection_id)) == (1 if second[0] == "skipped" else 0)
    if second[0] == "queued":
        assert here.runs()[1].due_at == here.clock()


def test_the_second_of_a_cascade_has_its_whole_time(database: Database) -> None:
    here = world(database, aippim(), asc())
    detection_id = here.submit("asc", "aippim/pro", rule=Rule.CASCADE)
    here.clock.turn(3599)
    _answer(here, here.runs()[0].id, "broken")
    assert here.runs()[1].deadline_at == here.clock() + timedelta(seconds=3600)
    assert here.detection(detection_id).deadline_at == here.clock() + timedelta(seconds=3600)


def test_a_detection_that_has_ended_is_not_ended_again(database: Database) -> None:
    def again(session: Session) -> Any:
        conclude(session, lock_detection(session, detection_id), [], here.policy, NOW)
        return session.exec(select(Revision.n)).all()

    here = world(database, asc())
    detection_id = here.submit("asc")
    _answer(here, here.run().id, "ai")
    before = here.events()
    with database.writing() as session:
        assert again(session) == [1]
    assert here.events() == before
