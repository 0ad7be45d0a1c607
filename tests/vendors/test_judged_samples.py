"""Every stored example that has a verdict, with an error or a failure at each of its layers in turn: none has one."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from service.detectors.enums import ReasonCode, RunStatus, Verdict
from service.detectors.port import Refused
from service.detectors.reading import Reading
from tests.vendors import aippim_answers, asc_answers, pex_answers, test_modulate
from tests.vendors.altered import ERRORS, FAILURES, HARMLESS, objects_in
from tests.vendors.contract import raw, sample
from tests.vendors.golden_answers import ANSWERS, golden, sample_bytes

DECIDED = sorted(name for name in ANSWERS if golden(name).get("Reading", {}).get("verdict"))
OWN_FIRST = ("status", "state")  # where the vendor has one of these, its own meaning comes first


def _bodies(name: str) -> list[Any]:
    """The example's object, or a stream's messages."""
    return (
        [json.loads(line) for line in sample_bytes(name).splitlines()]
        if "/stream" in name
        else [json.loads(sample_bytes(name))]
    )


def _changed(name: str, offered: list[tuple[str, Any]], turn: int) -> Iterator[tuple[str, Any, Any]]:
    """What is made of the example with one of these members in each layer in turn; the member beside it."""
    whole = _bodies(name)
    for place in range(len([*objects_in(whole)])):
        bodies = copy.deepcopy(whole)
        key, value = offered[(place + turn) % len(offered)]
        [*objects_in(bodies)][place][key] = value
        yield key, value, ANSWERS[name](b"\n".join(json.dumps(body).encode() for body in bodies))


@pytest.mark.parametrize("turn", range(3))
@pytest.mark.parametrize("name", DECIDED)
def test_an_error_at_any_layer_leaves_no_verdict(name: str, turn: int) -> None:
    for key, value, found in _changed(name, ERRORS + FAILURES, turn * 5):
        assert isinstance(found, Reading | Refused)
        if isinstance(found, Reading):
            assert found.verdict is None, (key, value)
        if key not in OWN_FIRST:
            assert found.reason_code is ReasonCode.VENDOR_ERROR, (key, value)


@pytest.mark.parametrize("name", DECIDED)
def test_a_member_for_errors_that_says_nothing_leaves_the_verdict(name: str) -> None:
    for key, value, found in _changed(name, HARMLESS, 0):
        assert isinstance(found, Reading)
        assert found.verdict == golden(name)["Reading"]["verdict"], (key, value)


AUDIO_FETCH_FAILED = {"error": "audio_fetch_failed", "message": "Could not download audio from url"}
ANALYSED = {"status": "completed", "prediction": "human", "ai_score": 0}
FINISHED = sample("aippim", "callback_completed_standard")
HUMAN, NOT_AI = sample("pex", "detect_reply_human"), sample("modulate", "batch_reply_not_ai")


@pytest.mark.parametrize(
    ("vendor", "detector", "body", "words"),
    [
        ("asc", "asc", {**ANALYSED, **AUDIO_FETCH_FAILED}, "audio_fetch_failed: Could not download audio from url"),
        ("asc", "asc/sync", {"success": False, "data": {"prediction": "human"}}, "success: false"),
        ("asc", "asc", {"ok": False, "prediction": "human"}, "ok: false"),
        ("asc", "asc", {**ANALYSED, "prediction": "ai", "data": {"status": "Failed"}}, None),
        ("asc", "asc", {**ANALYSED, "worker": {"state": "crashed", "message": "gone"}}, "gone (state: crashed)"),
        (
            "aippim",
            "aippim/pro",
            {**FINISHED, "error": "model_2 and model_3 timed out"},
            "model_2 and model_3 timed out",
        ),
        ("aippim", "aippim/pro", {**FINISHED, "result": {**FINISHED["result"], "error": "late"}}, "late"),
        ("pex", "pex", {**HUMAN, "error": {"code": "e1", "message": "half"}}, "e1: half: ok"),
        ("modulate", "modulate", {**NOT_AI, "windows": [{**NOT_AI["windows"][0], "error": "lost"}]}, "lost"),
    ],
)
def test_the_vendors_words_are_the_reason(vendor: str, detector: str, body: object, words: str | None) -> None:
    adapters: dict[str, Any] = {
        "asc": asc_answers.adapter(), "aippim": aippim_answers.adapter(),
        "pex": pex_answers.adapter(), "modulate": test_modulate.adapter(),
    }  # fmt: skip
    for found in (adapters[vendor].read(raw(body), detector), adapters[vendor].parse_submit(raw(body))):
        if vendor == "aippim" and not isinstance(found, Reading):
            continue  # the answer to its submission is a job
        assert (found.status, found.verdict, found.reason_code) == (RunStatus.FAILED, None, ReasonCode.VENDOR_ERROR)
        assert words is None or words in found.reason_text


def test_two_predictions_in_two_nests_are_a_contradiction() -> None:
    """At documented places and at others, whatever the letters."""
    asc = asc_answers.adapter()
    for body in (
        {"status": "completed", "result": {"prediction": "human"}, "data": {"prediction": "ai"}},
        {**ANALYSED, "analysis": {"deeper": [{"prediction": "AI"}]}},
    ):
        polled, submitted = asc.read(raw(body), "asc"), asc.parse_submit(raw(body))
        assert isinstance(polled, Refused)
        assert isinstance(submitted, Refused)
        assert polled.reason_code is submitted.reason_code is ReasonCode.SCHEMA_MISMATCH
        assert (polled.retryable, submitted.retryable) == (True, False)
    jobs = asc.read(raw({"status": "done", "result": {"job_id": "a"}, "data": {"job_id": "b"}}), "asc")
    assert jobs.reason_code is ReasonCode.SCHEMA_MISMATCH


def test_a_job_in_the_second_nest_that_is_not_done_is_not_done() -> None:
    found = asc_answers.adapter().read(raw({"result": {"prediction": "human"}, "data": {"status": "queued"}}), "asc")
    assert isinstance(found, Reading)
    assert (found.status, found.verdict) == (RunStatus.PENDING, None)


def test_two_final_results_in_one_answer_are_a_contradiction() -> None:
    for final, verdict in (({"prediction": "fake"}, None), ({"prediction": "Real"}, Verdict.NO_AI_DETECTED)):
        found = aippim_answers.adapter().read(raw({**FINISHED, "final_result": final}), "aippim/standard")
        assert (isinstance(found, Reading) and found.verdict) is (verdict or False)
