"""Reading a detection: as it stands, or as its latest revision has it."""

import json

import pytest
from sqlmodel import delete

from service.detections.queries import find_detection, has_ended, result_of
from service.detectors.enums import Authenticity, Via
from service.detectors.port import Raw
from service.kit.db.database import Database
from service.runs.inputs import VendorAnswer
from service.runs.state.models import Detection, RawBody
from tests.detections.rows import ACCOUNT, World, alter, world
from tests.detections.scripted import NOW, asc, said
from tests.runs.acting import observe


def _read(here: World, detection_id: str, *, full: bool = True) -> dict[str, object]:
    with here.database.reading() as session:
        return result_of(session, session.get_one(Detection, detection_id), here.policy, full=full)


def _answer(here: World, answer: Raw) -> None:
    with here.database.writing() as session:
        sighting = VendorAnswer(Via.POLL, answer, asc().read(said("ai"), "asc"), Authenticity.TLS_FETCH)
        observe(session, here.run().id, sighting, here.policy, NOW)


@pytest.mark.parametrize(("account", "mode"), [("acc_2", "live"), (ACCOUNT, "test")])
def test_another_accounts_or_modes_detection_is_none(database: Database, account: str, mode: str) -> None:
    here = world(database, asc())
    detection_id = here.submit("asc")
    with database.reading() as session:
        assert find_detection(session, ACCOUNT, "live", detection_id) is not None
        assert find_detection(session, account, mode, detection_id) is None


@pytest.mark.parametrize("text", ["", "det_\0", "det_1", "\ud800", "x" * 100_000])
def test_what_is_no_id_is_none(database: Database, text: str) -> None:
    with database.reading() as session:
        assert find_detection(session, ACCOUNT, "live", text) is None


def test_before_the_end_there_is_no_verdict(database: Database) -> None:
    here = world(database, asc())
    detection_id = here.submit("asc", metadata={"a": 1}, external_id="x")
    found = _read(here, detection_id)
    assert (found["status"], found["verdict"], found["metadata"], found["external_id"]) == (
        "queued",
        None,
        {"a": 1},
        "x",
    )
    assert not has_ended(here.detection(detection_id))


def test_after_the_end_the_revision_is_read_as_it_was_written(database: Database) -> None:
    here = world(database, asc())
    detection_id = here.submit("asc")
    _answer(here, said("ai"))
    before = _read(here, detection_id)
    alter(database, [here.run()], reason_text="changed since")
    assert _read(here, detection_id) == before
    assert has_ended(here.detection(detection_id))


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b'{"said": "\xc3\xbc"}', {"body": '{"said": "ü"}'}),
        (b"\xff\0", {"body": None, "body_base64": "/wA="}),
    ],
)
def test_the_full_form_has_the_raw_answer_and_the_short_one_has_not(
    database: Database, body: bytes, shown: dict[str, object]
) -> None:
    here = world(database, asc())
    detection_id = here.submit("asc")
    _answer(here, Raw(200, {}, body, NOW))
    full, short = (json.dumps(_read(here, detection_id, full=full)) for full in (True, False))
    anchor = json.loads(full)["detectors"][0]["raw"]
    assert {key: anchor[key] for key in shown} == shown
    assert "raw" not in json.loads(short)["detectors"][0]


def test_an_erased_answer_is_still_named_by_its_hash(database: Database) -> None:
    here = world(database, asc())
    detection_id = here.submit("asc")
    _answer(here, said("ai"))
    with database.writing() as session:
        session.exec(delete(RawBody))
    anchor = json.loads(json.dumps(_read(here, detection_id)))["detectors"][0]["raw"]
    assert (anchor["body"], len(anchor["sha256"])) == (None, 64)
