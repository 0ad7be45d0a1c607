"""Each row of each vendor's tables of words, in other letters and between blanks."""

from collections.abc import Callable
from typing import Any

import pytest

from service.detectors.enums import ReasonCode, RunStatus, Verdict
from service.detectors.reading import Reading
from service.vendors.aippim.ensemble import ROLES
from service.vendors.aippim.results import SOURCES
from service.vendors.asc.results import STATES as ASC_STATES
from service.vendors.asc.results import VERDICTS as ASC_VERDICTS
from service.vendors.pex.results import FAMILIES, REFUSALS
from tests.vendors import aippim_answers, asc_answers, pex_answers
from tests.vendors.aippim_answers import STANDARD, finished, model
from tests.vendors.altered import IN_OTHER_LETTERS
from tests.vendors.contract import raw, sample
from tests.vendors.golden_answers import ANSWERS, golden, sample_bytes

WAYS = pytest.mark.parametrize("way", IN_OTHER_LETTERS, ids=["upper", "capital", "title", "blanks", "lines"])
Way = Callable[[str], str]
ANALYSIS, REPLY = sample("asc", "analyze_reply"), sample("pex", "detect_reply")


def asc(body: object) -> Reading:
    found = asc_answers.adapter().read(raw(body), "asc")
    assert isinstance(found, Reading)
    return found


@WAYS
def test_ascs_verdicts_and_states(way: Way) -> None:
    for word, verdict in ASC_VERDICTS.items():
        found = asc({**ANALYSIS, "status": "completed", "prediction": way(word)})
        assert (found.verdict, found.verdict_raw) == (verdict, way(word))
    for word, status in ASC_STATES.items():
        assert asc({**ANALYSIS, "status": way(word)}).status is status


@WAYS
def test_two_spellings_of_one_word_are_no_contradiction(way: Way) -> None:
    found = asc({"status": "done", "prediction": "human", "result": {"prediction": way("human")}})
    assert (found.verdict, found.verdict_raw) == (Verdict.NO_AI_DETECTED, "human")


@WAYS
def test_pexs_states_and_families(way: Way) -> None:
    ok = pex_answers.read({**REPLY, "status": way("ok"), "message": way("ok"), "predicted_model": way("suno")})
    assert (ok.verdict, ok.reason_text) == (Verdict.AI_GENERATED, None)
    for word, (status, code) in REFUSALS.items():
        found = pex_answers.read({**REPLY, "status": way(word)})
        assert (found.status, found.reason_code) == (status, code)
    assert pex_answers.refused({"status": way("error"), "message": "later"}).retryable
    for family in FAMILIES:
        named = pex_answers.read({**REPLY, "predicted_model": way(family)}).attribution
        assert named is not None
        assert (named.raw_label, named.family) == (way(family), family)


@WAYS
def test_aippims_generators_and_roles(way: Way) -> None:
    for label, (family, version) in SOURCES.items():
        member = model(way(label), way("Fake Model Classification"), ["suno"])
        named = aippim_answers.read(
            finished({"final_result": {"prediction": way("fake")}, "model_results": [member]})
        ).attribution
        assert named is not None
        assert (named.raw_label, named.family, named.version) == (way(label), family, version)
    roles = model([way(role) for role in ROLES], "Per-agent AI Classification", [*ROLES])
    found = aippim_answers.read(finished({"final_result": {"prediction": "fake"}, "model_results": [roles]}))
    assert {name: each.verdict for name, each in found.components.items()} == dict.fromkeys(
        ROLES.values(), Verdict.AI_GENERATED
    )


@WAYS
def test_aippims_state_is_not_polled_for_ever_for_its_letters(way: Way) -> None:
    body: dict[str, Any] = {**STANDARD, "status": way("success")}
    assert aippim_answers.read(body).status is RunStatus.SUCCEEDED
    wrapped = {"taskId": STANDARD["task_id"], "status": way("success"), "result": {**STANDARD, "status": "processing"}}
    assert aippim_answers.read(wrapped).status is RunStatus.RUNNING


def test_an_unknown_word_of_a_stored_answer_is_kept_as_it_came() -> None:
    found = asc({**ANALYSIS, "status": "done", "prediction": "Synthetic"})
    assert (found.reason_code, found.verdict_raw) == (ReasonCode.UNKNOWN_VERDICT, "Synthetic")


def test_one_entry_of_a_documented_shape_is_the_result_and_what_stands_beside_it_is_kept() -> None:
    content = STANDARD["result"]["audio_filename.mp3"]
    beside = {"duration": 12.5, "tags": ["x"], "notes": {"a": 1}, "warning": None}
    found = aippim_answers.read(finished({"a.mp3": content, **beside}))
    assert (found.verdict, found.refs.other["filename"]) == (Verdict.NO_AI_DETECTED, "a.mp3")
    assert found.extras == {f"result.{name}": value for name, value in beside.items()}
    listed = aippim_answers.read(finished({"seconds": 3, "a.mp3": content["model_results"]}))
    assert (listed.verdict, listed.extras) == (Verdict.NO_AI_DETECTED, {"result.seconds": 3})


@pytest.mark.parametrize("second", ["b.mp3", "final_result"])
def test_two_entries_of_a_documented_shape_are_no_result(second: str) -> None:
    content = STANDARD["result"]["audio_filename.mp3"]
    other = content if second == "b.mp3" else content[second]
    found = aippim_answers.read(finished({"a.mp3": content, second: other}))
    assert (found.verdict, found.reason_code) == (None, ReasonCode.SCHEMA_MISMATCH)


@pytest.mark.parametrize("name", sorted(name for name in ANSWERS if golden(name).get("Reading", {}).get("verdict")))
def test_a_stored_verdict_is_verbatim(name: str) -> None:
    found = ANSWERS[name](sample_bytes(name))
    assert isinstance(found, Reading)
    raw_word = found.verdict_raw
    assert raw_word is None or f'"{raw_word}"'.encode() in sample_bytes(name) or raw_word in ("true", "false")
