"""What follows when a run has ended: the next of a cascade, or one revision and one final event."""

import json
from collections.abc import Callable
from contextlib import ExitStack, closing
from datetime import timedelta

import pytest
from sqlmodel import col, select

from service.detectors.enums import Authenticity, Via
from service.events.models import Event
from service.kit.db.database import Database
from service.media.models import Media
from service.runs.decide.conclusion import conclude
from service.runs.inputs import VendorAnswer
from service.runs.load.lock import lock_detection
from service.runs.state.models import Revision
from service.runs.step import step_one
from service.verdicts.votes import Rule
from tests.detections.rows import World, world
from tests.detections.scripted import NOW, aippim, asc, said
from tests.runs.acting import act, observe
from tests.runs.locking import at_once, meanwhile, polled, until_somebody_waits


def _sighted(word: str, vendor: str = "asc") -> VendorAnswer:
    read = (asc() if vendor == "asc" else aippim()).read(said(word), "asc" if vendor == "asc" else "aippim/pro")
    return VendorAnswer(Via.POLL, said(word), read, Authenticity.TLS_FETCH)


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


def _polled(here: World, run_id: str, word: str) -> Callable[[], None]:
    """A worker that brings this answer, when it is called."""
    happened = polled(here, run_id, word)

    def bring() -> None:
        with here.database.writing() as session:
            step_one(session, happened, here.policy, here.clock())

    return bring


@pytest.mark.parametrize("chance", range(4))
def test_two_last_votes_at_once_end_it_once(database: Database, chance: int) -> None:
    here = world(database, aippim(), asc())
    detection_id = here.submit("asc", "aippim/pro")
    at_once(*[_polled(here, run.id, "human") for run in here.runs()])
    (result,) = here.results(detection_id)
    assert result["votes"] == {"ai": 0, "no_ai": 2, "abstained": 0, "no_answer": 0}
    assert sorted(here.events()) == ["detection.completed", "detector.completed", "detector.completed"]


def test_two_looks_at_one_run_at_once_end_it_once(database: Database) -> None:
    here = world(database, asc())
    detection_id = here.submit("asc")
    at_once(*[_polled(here, here.run().id, word) for word in ("ai", "human")])
    assert len(here.results(detection_id)) == 1
    assert here.events() == ["detector.completed", "detection.completed"]


def test_whoever_concludes_waits_for_the_detections_row(postgres_url: str) -> None:
    with closing(Database(postgres_url)) as database:
        here = world(database, asc())
        detection_id = here.submit("asc")
        vote = _polled(here, here.run().id, "ai")
        with ExitStack() as after, database.writing() as session:
            lock_detection(session, detection_id)
            after.enter_context(meanwhile(vote))
            until_somebody_waits(database)
            assert here.run().state == "waiting"
        assert here.run().state == "succeeded"


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
    here = world(database, asc())
    here.submit("asc")
    run_id = here.run().id
    _answer(here, run_id, "ai")
    before = here.events()
    with database.writing() as session:
        act(
            session, run_id, lambda bench, run: conclude(bench, bench.detection(run.detection_id), []), here.policy, NOW
        )
        assert session.exec(select(Revision.n)).all() == [1]
    assert here.events() == before
