"""A question is taken in: what stands in the database then, and what is refused, all at once."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from service.detections.queries import first_result, result_of
from service.detections.submit import submit
from service.detectors.catalogue import Catalogue
from service.kit.db.database import Database
from service.kit.errors import CallerError
from service.media.models import Media
from service.runs.policy import DetectionPolicy
from service.runs.state.models import Detection
from service.verdicts.votes import Rule
from tests.detections.rows import PLAN, add_media, alter, policy_of, question, world
from tests.detections.scripted import NOW, aippim, asc, job, said
from tests.detections.sharing import ask, recording


def _refused(database: Database, policy: DetectionPolicy, **asked: Any) -> dict[str, str]:
    with pytest.raises(CallerError) as refused, database.writing() as session:
        submit(session, question(**asked), policy, NOW)
    assert refused.value.status == 422
    return {problem.pointer: problem.detail for problem in refused.value.problems}


def test_runs_are_queued_in_the_order_asked(database: Database) -> None:
    here = world(database, aippim(), asc())
    detection_id = here.submit("asc", "aippim/pro", metadata={"isrc": "ü"}, external_id="x", declared={"ai": False})
    detection = here.detection(detection_id)
    assert (detection.status, detection.source_state, detection.source_name) == ("queued", "ready", "song.ai.wav")
    assert detection.metadata_json == '{"isrc": "ü"}'
    assert detection.answer_by_at == NOW + timedelta(seconds=900)
    assert detection.deadline_at == NOW + timedelta(seconds=PLAN.deadline)
    assert [(run.detector, run.vendor, run.tier, run.state, run.due_at) for run in here.runs()] == [
        ("asc", "asc", None, "queued", NOW),
        ("aippim/pro", "aippim", "pro", "queued", NOW),
    ]


def test_one_detector_of_each_vendor_is_asked_by_default(database: Database) -> None:
    here = world(database, aippim(), asc())
    here.submit()
    assert [run.detector for run in here.runs()] == ["aippim/standard", "asc"]


def test_runs_wait_until_the_source_is_fetched(database: Database) -> None:
    here = world(database, asc())
    detection_id = here.submit("asc", source_url="https://x.example/a.wav", source_name="a.wav")
    assert (here.detection(detection_id).source_state, here.detection(detection_id).due_at) == ("due", NOW)
    assert (here.run().state, here.run().due_at) == ("sourcing", None)


def test_a_cascade_begins_with_the_first(database: Database) -> None:
    here = world(database, aippim(), asc())
    here.submit("asc", "aippim/pro", rule=Rule.CASCADE)
    assert [run.state for run in here.runs()] == ["queued", "reserved"]


_ASKED: list[dict[str, Any]] = [
    {"external_id": "x", "metadata": {"isrc": "ü"}, "declared": {"ai": False}, "force": True},
    {"rule": Rule.CASCADE},
    {"source_url": "https://x.example/a.wav", "source_name": "a.wav", "media_id": None},
    {},
]


@pytest.mark.parametrize("answered", [False, True], ids=["following", "with stored answers"])
@pytest.mark.parametrize("asked", _ASKED, ids=["all that can be said", "a cascade", "a URL", "as asked before"])
async def test_the_first_result_is_what_a_reader_finds(
    database: Database, asked: dict[str, Any], answered: bool
) -> None:
    here = world(database, aippim(), asc(submits=[job("j1")], fetches=[said("ai")]))
    media_id = recording(here)
    ask(here, media_id, "asc")
    if answered:
        await here.dispatch()
        here.clock.turn(60)
        await here.poll()
    wanted = question(**{"detectors": ("asc", "aippim/pro"), "media_id": media_id, **asked})
    with database.writing() as session:
        submitted = submit(session, wanted, here.policy, here.clock())
        first = first_result(session, submitted, here.policy)
    with database.reading() as session:
        assert result_of(session, session.get_one(Detection, submitted.id), here.policy, full=True) == first


def test_media_that_is_asked_about_is_kept(database: Database) -> None:
    here = world(database, asc())
    with database.writing() as session:
        media = add_media(session, delete_after=NOW)
    with database.writing() as session:
        submit(session, question(media_id=media.id), here.policy, NOW)
    with database.reading() as session:
        assert session.get_one(Media, media.id).delete_after is None


def test_all_that_is_wrong_is_said_at_once_and_nothing_is_kept(database: Database) -> None:
    here = world(database, asc())
    asked = {"detectors": ("asc", "pex", "asc"), "media_id": "med_nobody", "quorum": 5, "rule": Rule.CASCADE}
    found = _refused(database, here.policy, **asked)
    assert found.keys() == {"/detectors/1", "/detectors", "/decision/quorum", "/source/media_id"}
    assert "'pex' is not an available detector" in found["/detectors/1"]
    assert here.runs() == []


def test_a_cascade_of_one_vendor_is_refused(database: Database) -> None:
    policy = policy_of(aippim())
    found = _refused(
        database, policy, detectors=("aippim/standard", "aippim/pro"), rule=Rule.CASCADE, source_url="https://x.example"
    )
    assert found.keys() == {"/decision/rule"}


@pytest.mark.parametrize("asked", [{}, {"quorum": 3}, {"detectors": ("asc", "nobody")}, {"rule": Rule.CASCADE}])
def test_without_any_vendor_the_one_fault_names_the_settings(database: Database, asked: dict[str, Any]) -> None:
    policy = replace(policy_of(), catalogue=Catalogue({}, [["ASC_API_KEY"], ["PEX_CLIENT_ID", "PEX_CLIENT_SECRET"]]))
    (fault,) = _refused(database, policy, source_url="https://x.example/a", **asked).items()
    settings = "the operator sets ASC_API_KEY, or PEX_CLIENT_ID and PEX_CLIENT_SECRET."
    assert fault == ("/detectors", f"No detector is configured for live keys; {settings}")


@pytest.mark.parametrize("change", [{"account_id": "acc_2"}, {"mode": "test"}, {"erased_at": NOW}])
def test_media_that_is_not_the_callers_is_no_media(database: Database, change: dict[str, Any]) -> None:
    with database.writing() as session:
        media = add_media(session)
    alter(database, [media], **change)
    assert _refused(database, policy_of(asc()), media_id=media.id).keys() == {"/source/media_id"}


def test_the_rows_of_a_detection_share_account_and_mode(database: Database) -> None:
    here = world(database, asc())
    detection, run = here.detection(here.submit("asc")), here.run()
    assert (run.account_id, run.mode, run.detection_id) == (detection.account_id, detection.mode, detection.id)
