"""Detectors that are not asked by default, through a real process, its worker and the twins."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.runs.state.models import Run
from tests.api.integrator import Integrator, integrator


@pytest.fixture(scope="module")
def customer(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Integrator]:
    folder = tmp_path_factory.mktemp("further")
    database = folder / "relay.db"
    database.write_bytes(sqlite_template.read_bytes())
    with integrator(database, folder) as one:
        yield one


@pytest.fixture(scope="module")
def encoding(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Integrator]:
    """Start a process that sends the audio itself, and yield a customer of it."""
    folder = tmp_path_factory.mktemp("encoding")
    database = folder / "relay.db"
    database.write_bytes(sqlite_template.read_bytes())
    with integrator(database, folder, ASC_SYNC_INPUT="base64") as one:
        yield one


def _fetched(customer: Integrator, result: dict[str, Any]) -> int:
    """Return the number of times the vendor fetched the audio by our link."""
    with customer.database.reading() as session:
        return session.get_one(Run, result["detectors"][0]["run_id"]).media_fetches


def _only(customer: Integrator, detector: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = customer.ended(customer.ask(name, detectors=[detector]))
    return found


@pytest.mark.parametrize(("word", "verdict"), [("ai", "ai_generated"), ("human", "no_ai_detected")])
def test_asc_answers_at_once_about_a_link(customer: Integrator, word: str, verdict: str) -> None:
    result = _only(customer, "asc/sync", f"song.{word}.wav")
    (run,) = result["detectors"]
    assert (result["verdict"], run["obtained"]["via"], run["tier"]) == (verdict, "sync", "sync")
    assert (run["engine"]["version"], run["refs"]["job_id"], _fetched(customer, result)) == ("v8.3", None, 1)


@pytest.mark.parametrize(("word", "verdict"), [("ai", "ai_generated"), ("human", "no_ai_detected")])
def test_asc_answers_at_once_about_the_audio_itself(encoding: Integrator, word: str, verdict: str) -> None:
    result = _only(encoding, "asc/sync", f"song.{word}.wav")
    assert (result["verdict"], _fetched(encoding, result)) == (verdict, 0)


def test_an_answer_given_at_once_can_be_certified(customer: Integrator) -> None:
    detection_id = _only(customer, "asc/sync", "song.ai.wav")["id"]
    made = customer.got("createCertificate", detection_id=detection_id)
    found = customer.got("readCertificate", detection_id=detection_id)
    assert (found["certificate_id"], found["valid"]) == (made["certificate_id"], True)


def test_pro_v2_hears_roles_and_names_the_generator(customer: Integrator) -> None:
    result = _only(customer, "aippim/pro-v2", "song.ai.wav")
    (run,) = result["detectors"]
    assert (result["verdict"], result["attribution"]["family"], run["engine"]["name"]) == (
        "ai_generated",
        "suno",
        "pro-v2",
    )
    assert {name: joint["verdict"] for name, joint in result["components"].items() if joint} == {
        "vocals": "ai_generated",
        "composition": "ai_generated",
        "engineering": "ai_generated",
    }
    assert run["extras"] == {}


def test_a_cover_is_a_disagreement_on_scope_and_stays_what_the_final_result_says(customer: Integrator) -> None:
    result = _only(customer, "aippim/pro-v2", "song.cover.wav")
    assert result["verdict"] == "ai_generated"
    assert [conflict["kind"] for conflict in result["conflicts"]] == ["scope_disagreement"]
