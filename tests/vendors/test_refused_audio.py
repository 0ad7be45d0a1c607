"""A vendor that refuses the audio says so at each of its doors alike, and the detection ends as such ones do."""

from typing import Any

import pytest

from service.detectors.enums import ReasonCode, RunStatus
from service.detectors.port import Raw, Refused
from service.detectors.reading import Reading
from service.kit.db.database import Database
from tests.detections.rows import World, policy_of
from tests.vendors import asc_answers, pex_answers, test_modulate
from tests.vendors.contract import NOW, raw, sample

INVALID, UNSUPPORTED = ReasonCode.INVALID_FILE, ReasonCode.UNSUPPORTED_FORMAT
DECLINED, FAILED = RunStatus.NOT_APPLICABLE, RunStatus.FAILED
WRONG_FORMAT = sample("asc", "error_invalid_format")
UNREADABLE = "The audio could not be processed. It may be corrupted or in an unsupported format."
UNDECLARED = "Audio data does not match the declared audio_format."


def streamed(text: str, code: int) -> Raw:
    body = b'{"type": "error", "error": "%s"}' % text.encode()
    return Raw(code, {"content-type": "application/x-ndjson"}, body, NOW)


def ended(found: object) -> tuple[RunStatus, ReasonCode | None, bool]:
    """How the run ends, why, and whether it is tried again."""
    if isinstance(found, Refused):
        return FAILED, found.reason_code, found.retryable
    assert isinstance(found, Reading)
    return found.status, found.reason_code, False


@pytest.mark.parametrize("text", [UNREADABLE, UNDECLARED, "The file is CORRUPT.", UNREADABLE.upper()])
@pytest.mark.parametrize("status", [400, 422])
def test_modulate_says_it_in_the_batch_and_in_the_stream(text: str, status: int) -> None:
    adapter = test_modulate.adapter()
    doors = [raw({"detail": text}, status), raw({"detail": [{"msg": text, "loc": ["body", "upload_file"]}]}, status)]
    doors += [streamed(text, code) for code in (4002, 1000, 1006)]
    for answer in doors:
        assert ended(adapter.parse_submit(answer)) == (DECLINED, INVALID, False), answer
        assert adapter.read(answer, "modulate") == adapter.parse_submit(answer)


@pytest.mark.parametrize(
    ("answer", "end"),
    [
        (raw({"detail": "Unsupported file format: .xyz"}, 400), (FAILED, UNSUPPORTED, False)),
        (streamed("Unsupported audio format", 1000), (FAILED, UNSUPPORTED, False)),
        (raw({"detail": UNREADABLE}, 415), (FAILED, UNSUPPORTED, False)),
        (raw({"detail": UNREADABLE}, 413), (FAILED, ReasonCode.FILE_TOO_LARGE, False)),
        (raw({"detail": UNREADABLE}, 500), (FAILED, ReasonCode.VENDOR_ERROR, True)),
        (raw({"detail": "The uploaded file is empty."}, 400), (FAILED, ReasonCode.BAD_REQUEST, False)),
        (raw({}, 400), (FAILED, ReasonCode.BAD_REQUEST, False)),
    ],
)
def test_modulates_status_counts_where_it_says_more_than_the_words(answer: Raw, end: tuple[Any, ...]) -> None:
    assert ended(test_modulate.adapter().parse_submit(answer)) == end


@pytest.mark.parametrize(
    "answer",
    [
        raw(WRONG_FORMAT, 400),
        raw(WRONG_FORMAT, 200),  # the error's own status counts
        raw({**WRONG_FORMAT, "error": "INVALID_AUDIO_FORMAT"}, 422),
        raw({"message": "Audio format not supported. Accepted: mp3"}, 400),
    ],
)
def test_asc_says_it_to_a_submission_an_analysis_and_a_poll(answer: Raw) -> None:
    adapter = asc_answers.adapter()
    for found in (adapter.parse_submit(answer), adapter.read(answer, "asc"), adapter.read(answer, "asc/sync")):
        assert ended(found) == (FAILED, UNSUPPORTED, False)


def test_asc_says_it_of_a_job_that_failed() -> None:
    body = {"job_id": "job_1", "status": "failed", "error": "invalid_audio_format", "message": "no"}
    assert ended(asc_answers.adapter().read(raw(body), "asc")) == (FAILED, UNSUPPORTED, False)
    nested = {"job_id": "job_1", "status": "failed", "result": {"error": "invalid_audio_format"}}
    assert ended(asc_answers.adapter().read(raw(nested), "asc")) == (FAILED, UNSUPPORTED, False)
    other = {**body, "error": "analysis_failed"}
    assert ended(asc_answers.adapter().read(raw(other), "asc")) == (FAILED, ReasonCode.VENDOR_ERROR, False)


@pytest.mark.parametrize("http", [200, 400, 413, 415, 422])
def test_pexs_own_words_count_under_any_refusal(http: int) -> None:
    for word in ("invalid_file", "no_audio", "too_short", "too_long", "not_enough_music"):
        found = pex_answers.adapter().parse_submit(raw({"status": word, "message": "no"}, http))
        assert ended(found) == (DECLINED, ReasonCode(word), False)
    found = pex_answers.adapter().parse_submit(raw({"status": "ok", "is_ai": False}, 400))
    assert ended(found) == (FAILED, ReasonCode.BAD_REQUEST, False), "never a verdict under a refusal"


@pytest.mark.parametrize(
    ("vendor", "answer", "end"),
    [
        ("modulate", raw({"detail": UNREADABLE}, 400), ("completed", "content_not_analyzable", "not_applicable")),
        ("asc", raw(WRONG_FORMAT, 400), ("failed", "no_detector_answered", "failed")),
    ],
)
async def test_the_detection_ends_as_the_runs_say(
    database: Database, vendor: str, answer: Raw, end: tuple[str, str, str]
) -> None:
    adapter: Any = test_modulate.adapter() if vendor == "modulate" else asc_answers.adapter()

    async def submit(_ask: object) -> Raw:
        return answer

    adapter.submit = submit
    here = World(database, policy_of(adapter))
    detection_id = here.submit(vendor)
    await here.dispatch()
    (result,) = here.results(detection_id)
    (part,) = result["detectors"]
    assert (result["status"], result["outcome_reason"], part["status"]) == end
    assert result["verdict"] == "not_analyzed"
    assert result["totals"]["cost"] == [], "a refused request is charged by none"
