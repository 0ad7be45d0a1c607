"""What every adapter promises, kept by each detector that is not its vendor's first; and that none is left out."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from service.detectors.enums import ReasonCode, RunStatus
from service.detectors.port import Accepted, Raw, Refused
from service.detectors.reading import Reading
from service.vendors import VENDORS
from service.vendors.asc.results import STATES, VERDICTS
from tests.vendors import asc_answers, test_aippim, test_asc, test_modulate
from tests.vendors.contract import NOW, DetectorContract, raw, sample
from tests.vendors.modulate_stream import DONE, MESSAGES

ANALYSIS = sample("asc", "analyze_reply")
PRO_V2 = sample("aippim", "callback_completed_pro_v2")


class TestLite(test_aippim.TestContract):
    asked = "aippim/lite"


class TestPro(test_aippim.TestContract):
    asked = "aippim/pro"


class TestProV2(test_aippim.TestContract):
    asked = "aippim/pro-v2"

    def body_with_word(self, word: object) -> Mapping[str, Any]:
        """The result stands there without a file name."""
        return {**PRO_V2, "result": {**PRO_V2["result"], "final_result": {"prediction": word, "confidence": 0.98}}}

    def body_with_state(self, word: object) -> Mapping[str, Any]:
        return {**PRO_V2, "status": word}


class TestAscSync(DetectorContract):
    """The answer to the submission is the result, so that is what is read. Without a job nothing can go on."""

    adapter = asc_answers.adapter()
    asked = "asc/sync"
    synchronous = True
    answers = {name: sample("asc", name) for name in ("analyze_reply", "analyze_reply_human")}  # noqa: RUF012 - read only
    fields = frozenset({*ANALYSIS, "status", "result", "data", "error", "message"})
    a_pass = test_asc.TestContract.a_pass
    required = ("prediction",)
    words = frozenset(VERDICTS)
    states = frozenset(STATES)

    def read(self, body: object, status: int = 200) -> Reading | Refused:
        found = self.adapter.parse_submit(raw(body, status))
        return Reading(status=RunStatus.PENDING) if isinstance(found, Accepted) else found

    def body_with_word(self, word: object) -> Mapping[str, Any]:
        return {**ANALYSIS, "status": "completed", "prediction": word}

    def body_with_state(self, word: object) -> Mapping[str, Any]:
        return {**ANALYSIS, "prediction": "human", "status": word}

    def failed_body(self) -> Mapping[str, Any]:
        return {**ANALYSIS, "prediction": "human", "status": "failed", "message": "could not download"}

    @pytest.mark.parametrize("word", ["archived", "okay", "succes", "", 1, 302, True, ["success"], {"a": 1}, "queued"])
    def test_an_unknown_state_is_noted_and_keeps_the_run_going_if_it_can_go_on(self, word: object) -> None:
        found = self.read(self.body_with_state(word))
        assert isinstance(found, Refused)
        assert (found.reason_code, found.retryable) == (ReasonCode.SCHEMA_MISMATCH, False)

    async def test_a_request_without_what_it_needs_is_a_mistake_of_the_caller(self) -> None:
        with pytest.raises(ValueError, match="missing"):
            await self.adapter.submit(asc_answers.ask_at_once())


class TestStreaming(test_modulate.TestContract):
    """An answer is a stream of two windows and the given last message, closed with 1000."""

    asked = "modulate/streaming"
    answers = {"done": DONE}  # noqa: RUF012 - read only
    a_pass = {**DONE, "primary_verdict": "not-ai-music"}  # noqa: RUF012 - read only
    required = tuple(sorted(set(DONE) - {"type"}))  # without a type it is no last message
    fields = frozenset({*DONE, "window", "error"})

    def read(self, body: object, status: int = 200) -> Reading | Refused:
        whole = [raw(each).body for each in (*MESSAGES[:-1], body)] if isinstance(body, Mapping) else [raw(body).body]
        code = 1000 if status == 200 else status
        return self.adapter.read(
            Raw(code, {"content-type": "application/x-ndjson"}, b"\n".join(whole), NOW), self.asked
        )

    def body_with_word(self, word: object) -> Mapping[str, Any]:
        return {**DONE, "primary_verdict": word}

    def body_with_state(self, word: object) -> Mapping[str, Any]:
        return {key: value for key, value in DONE.items() if key != "primary_verdict"} | {"status": word}

    def failed_body(self) -> Mapping[str, Any]:
        return {**DONE, "type": "error", "error": "Internal server error"}

    @pytest.mark.parametrize("body", [b"", b"\xff\x00", b"<html>", b"[]", b"null", b"{", b"[" * 100_000])
    def test_what_is_not_an_object_says_nothing_of_the_track(self, body: bytes) -> None:
        """It is no last message either: the stream ended without one."""
        found = self.read(body)
        assert isinstance(found, Refused)
        assert (found.reason_code, found.retryable) == (ReasonCode.VENDOR_ERROR, True)

    def test_a_failure_is_never_a_verdict_even_beside_a_result(self) -> None:
        assert self.read(self.failed_body()) == Refused(
            ReasonCode.VENDOR_ERROR, "Internal server error", retryable=True
        )


def _contracts(base: Any) -> list[type[DetectorContract]]:
    return [each for one in base.__subclasses__() for each in (one, *_contracts(one))]


def test_every_detector_keeps_the_contract() -> None:
    for path in Path(__file__).parent.glob("test_*.py"):
        import_module(f"tests.vendors.{path.stem}")
    kept = [each() for each in _contracts(DetectorContract)]
    assert {each.adapter.vendor for each in kept} == set(VENDORS)
    assert {each.detector for each in kept} == {name for each in kept for name in each.adapter.detectors}
