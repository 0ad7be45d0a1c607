"""One look at a run: what it does to an open run, and that a later one does nothing."""

import hashlib
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlmodel import col, select

from service.detectors.enums import Authenticity, Via
from service.detectors.port import Raw, Refused
from service.detectors.reading import Reading
from service.kit.db.database import Database
from service.runs.inputs import VendorAnswer
from service.runs.state.models import Observation, RawBody
from tests.detections.rows import World, world
from tests.detections.scripted import NOW, Scripted, asc, raw, said
from tests.runs.acting import observe


def _look(here: World, answer: Raw, via: Via = Via.POLL) -> None:
    read: Reading | Refused = Scripted().read(answer, "asc")
    sighting = VendorAnswer(via, answer, read, Authenticity.TLS_FETCH)
    with here.database.writing() as session:
        observe(session, here.run().id, sighting, here.policy, here.clock())


def _effects(database: Database) -> list[tuple[int, str, str]]:
    with database.reading() as session:
        rows = session.exec(select(Observation).order_by(col(Observation.n)))
        return [(row.n, row.via, row.effect) for row in rows]


def test_an_answer_ends_the_run_and_names_the_look_that_decided(database: Database) -> None:
    here = world(database, asc())
    here.submit("asc")
    _look(here, said("running"))
    _look(here, said("ai"))
    run = here.run()
    assert (run.state, run.observation_n, run.ended_at, run.due_at) == ("succeeded", 2, NOW, None)
    assert (run.via, run.authenticity, run.answered_at) == ("poll", "tls_fetch", NOW)
    assert _effects(database) == [(1, "poll", "none"), (2, "poll", "answer_succeeded")]


def test_a_contradicting_answer_after_the_end_is_kept_and_changes_nothing(database: Database) -> None:
    here = world(database, asc())
    detection_id = here.submit("asc")
    _look(here, said("ai"))
    before = (here.run(), here.results(detection_id), here.events())
    _look(here, said("human"), Via.CALLBACK)
    assert (here.run(), here.results(detection_id), here.events()) == before
    assert _effects(database)[-1] == (2, "callback", "late")


@pytest.mark.parametrize(
    ("answer", "state", "reason"),
    [
        (said("short"), "not_applicable", "too_short"),
        (said("broken"), "failed", "vendor_error"),
        (raw({}, 401), "failed", "auth_failed"),
    ],
)
def test_an_end_without_a_verdict_has_its_reason(database: Database, answer: Raw, state: str, reason: str) -> None:
    here = world(database, asc())
    here.submit("asc")
    _look(here, answer)
    assert (here.run().state, here.run().reason_code) == (state, reason)


@pytest.mark.parametrize("answer", [said("running"), said("odd"), raw({}, 503), raw({}, 429)])
def test_what_is_no_end_is_kept_and_moves_nothing(database: Database, answer: Raw) -> None:
    here = world(database, asc())
    here.submit("asc")
    before = here.run()
    _look(here, answer)
    assert here.run() == before
    assert _effects(database) == [(1, "poll", "none")]


def test_the_raw_bytes_are_kept_once_under_their_run(database: Database) -> None:
    here = world(database, asc())
    here.submit("asc")
    for _ in range(2):
        _look(here, said("running"))
    with database.reading() as session:
        (row,) = session.exec(select(RawBody)).all()
        looks = session.exec(select(Observation.body_sha256)).all()
    assert (row.owner_id, json.loads(row.body)) == (here.run().id, {"said": "running"})
    assert list(looks) == [hashlib.sha256(row.body).hexdigest()] * 2


@given(words=st.lists(st.sampled_from(["ai", "human", "short", "broken", "running", "odd"]), max_size=6))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_in_any_order_the_first_end_decides_and_there_is_one_final_event(sqlite_url: str, words: list[str]) -> None:
    opened = Database(sqlite_url)
    try:
        here = world(opened, asc())
        detection_id = here.submit("asc")
        looked = len(here.events())
        run_id = next(run.id for run in here.runs(detection_id))
        for word in words:
            sighting = VendorAnswer(Via.POLL, said(word), Scripted().read(said(word), "asc"), Authenticity.TLS_FETCH)
            with opened.writing() as session:
                observe(session, run_id, sighting, here.policy, NOW)
        (run,) = here.runs(detection_id)
        first_end = next((word for word in words if word not in ("running", "odd")), None)
        ends = {"ai": "succeeded", "human": "succeeded", "short": "not_applicable", "broken": "failed", None: "queued"}
        assert run.state == ends[first_end]
        finals = [event for event in here.events()[looked:] if event in ("detection.completed", "detection.failed")]
        assert (len(finals), len(here.results(detection_id))) == ((1, 1) if first_end else (0, 0))
    finally:
        opened.close()
