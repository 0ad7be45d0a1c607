"""A vendor whose adapter forgets everything, and is judged all the same."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pytest

from service.detectors.answers import json_object
from service.detectors.enums import Kind, ReasonCode, RunStatus, Verdict
from service.detectors.judged import Judged
from service.detectors.port import Accepted, Raw, Refused
from service.detectors.reading import Component, Reading, Segment
from service.detectors.synchronous import SynchronousAdapter
from service.vendors import VENDORS
from tests.vendors.contract import exchange, raw

HUMAN = {"label": "human"}


class Careless(Judged):
    """It looks at the label alone."""

    verdict_at: ClassVar[tuple[str, ...]] = ("label",)
    secrets = ("the key",)

    def interpret_submit(self, raw: Raw) -> Accepted | Reading | Refused:
        return Accepted("job") if b"queued" in raw.body else self.interpret(raw, "careless")

    def interpret(self, raw: Raw, detector: str) -> Reading | Refused:
        del detector
        word = (json_object(raw.body) or {}).get("label", "human")
        return Reading(
            status=RunStatus.SUCCEEDED,
            verdict=Verdict.NO_AI_DETECTED if word == "human" else Verdict.AI_GENERATED,
            verdict_raw=word,
            kind=None if word == "human" else Kind.AI_VOCALS,
            components={"vocals": Component(verdict=Verdict.NO_AI_DETECTED, ai_share_pct=1)},
            segments=[Segment(index=0, verdict=Verdict.NO_AI_DETECTED, labels=["x"])],
        )

    def lacks(self, said: Reading, bodies: Sequence[Mapping[str, Any]]) -> str | None:
        del said
        return None if bodies and "length" in bodies[0] else "length"


@pytest.mark.parametrize("word", ["human", "machine"])
def test_an_error_takes_the_verdict_away_and_what_was_measured_stays(word: str) -> None:
    body = {"label": word, "length": 3, "deep": [{"error": "half of the key"}]}
    for found in (Careless().read(raw(body), "careless"), Careless().parse_submit(raw(body))):
        assert isinstance(found, Reading)
        assert (found.status, found.reason_code) == (RunStatus.FAILED, ReasonCode.VENDOR_ERROR)
        assert (found.reason_text, found.retryable) == ("half of [key]", False)
        assert (found.verdict, found.verdict_raw, found.kind) == (None, word, None)
        assert found.components == {"vocals": Component(ai_share_pct=1)}
        assert found.segments == [Segment(index=0, labels=["x"])]


@pytest.mark.parametrize("status", [302, 400, 404, 500, 599])
def test_a_failing_http_status_takes_it_away(status: int) -> None:
    found = Careless().read(raw({**HUMAN, "length": 3}, status), "careless")
    assert isinstance(found, Reading)
    assert (found.verdict, found.reason_text) == (None, f"HTTP {status}")


def test_a_second_verdict_takes_it_away_and_a_poll_asks_again() -> None:
    body = {**HUMAN, "length": 3, "again": {"label": "machine"}}
    polled, submitted = Careless().read(raw(body), "careless"), Careless().parse_submit(raw(body))
    assert isinstance(polled, Refused)
    assert isinstance(submitted, Refused)
    assert (polled.reason_code, polled.retryable, submitted.retryable) == (ReasonCode.SCHEMA_MISMATCH, True, False)
    same = Careless().read(raw({**body, "again": {"label": " HUMAN"}}), "careless")
    assert isinstance(same, Reading)
    assert same.verdict is Verdict.NO_AI_DETECTED


def test_a_pass_without_what_was_promised_is_none_and_a_hit_is_one() -> None:
    found = Careless().read(raw(HUMAN), "careless")
    assert isinstance(found, Reading)
    assert (found.status, found.verdict, found.reason_code) == (RunStatus.FAILED, None, ReasonCode.SCHEMA_MISMATCH)
    assert "length" in (found.reason_text or "")
    hit = Careless().read(raw({"label": "machine"}), "careless")
    assert isinstance(hit, Reading)
    assert hit.verdict is Verdict.AI_GENERATED


@pytest.mark.parametrize(
    ("text", "code", "expected"),
    [
        ("Insufficient credits", ReasonCode.VENDOR_ERROR, ReasonCode.QUOTA_EXCEEDED),
        ("out of balance", ReasonCode.VENDOR_ERROR, ReasonCode.QUOTA_EXCEEDED),
        ("too many requests, buy credits", ReasonCode.VENDOR_ERROR, ReasonCode.VENDOR_ERROR),
        ("the decoder crashed", ReasonCode.VENDOR_ERROR, ReasonCode.VENDOR_ERROR),
        ("prediction is credit", ReasonCode.UNKNOWN_VERDICT, ReasonCode.UNKNOWN_VERDICT),
    ],
)
def test_a_failed_answer_whose_words_want_money_is_one_of_credit(
    text: str, code: ReasonCode, expected: ReasonCode
) -> None:
    class Failing(Careless):
        def interpret(self, raw: Raw, detector: str) -> Reading | Refused:
            del raw, detector
            return Reading(status=RunStatus.FAILED, reason_code=code, reason_text=text)

    for found in (Failing().read(raw({}), "careless"), Failing().parse_submit(raw({}))):
        assert (found.reason_code, found.reason_text) == (expected, text) if isinstance(found, Reading) else False


def test_an_error_beside_a_verdict_may_want_money_too() -> None:
    found = Careless().read(raw({**HUMAN, "length": 3, "error": "Insufficient credits"}), "careless")
    assert isinstance(found, Reading)
    assert (found.verdict, found.reason_code) == (None, ReasonCode.QUOTA_EXCEEDED)


def test_a_job_under_way_is_not_judged() -> None:
    assert Careless().parse_submit(raw({"state": "queued", "error": "x"})) == Accepted("job")


@pytest.mark.parametrize("name", ["read", "parse_submit"])
@pytest.mark.parametrize("base", [Judged, SynchronousAdapter, Careless])
def test_no_adapter_goes_past_the_judgement(base: type[Judged], name: str) -> None:
    with pytest.raises(TypeError, match=f"has its own {name}"):
        type("Hasty", (base,), {name: lambda *_: None})


def test_every_vendors_adapter_is_judged() -> None:
    for vendor in VENDORS.values():
        assert isinstance(vendor.adapter(vendor.settings(), exchange()), Judged)
