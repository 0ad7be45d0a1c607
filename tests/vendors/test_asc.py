"""ASC's words in ours, however loosely its polls are documented, and its two requests."""

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from service.detectors.enums import Authenticity, ReasonCode, RunStatus, Verdict
from service.detectors.port import Accepted, CallbackRefs, Needs, Refused, RunContext
from service.detectors.reading import Reading
from service.vendors import VENDORS
from service.vendors.asc import Asc, AscSettings
from service.vendors.asc.results import STATES, VERDICTS
from tests.vendors.contract import KEY, NOW, DetectorContract, exchange, raw, sample
from tests.vendors.vendor_server import vendor_server

JOB = "job_abc123def456"
CALLBACK = sample("asc", "callback_complete")
ANALYSIS = sample("asc", "analyze_reply")


def adapter(base_url: str = "http://vendor.invalid/v1", **names: Any) -> Asc:
    return Asc(AscSettings(base_url=base_url, api_key=KEY, **names), exchange())


def ask(**known: Any) -> RunContext:
    async def media() -> AsyncIterator[bytes]:
        yield b""

    return RunContext("run_1", "asc", None, "run_1.mp3", 4, "audio/mpeg", media, **known)


def read(body: object) -> Reading:
    found = adapter().read(raw(body), "asc")
    assert isinstance(found, Reading)
    return found


class TestContract(DetectorContract):
    adapter = adapter()
    answers = {  # noqa: RUF012 - read only
        name: sample("asc", name)
        for name in (
            *("analyze_reply", "callback_complete", "submit_reply"),
            *("certificate_reply", "certificate_check_reply"),
        )
    }
    fields = frozenset(
        {
            *("job_id", "status", "result", "data", "error", "event", "prediction", "ai_score", "engine"),
            *("confidence_level", "reasons", "timestamp", "analysis_time_ms"),
        }
    )

    a_pass: Mapping[str, Any] = {**sample("asc", "analyze_reply_human"), "status": "completed"}
    required = ("prediction",)
    words = frozenset(VERDICTS)
    states = frozenset(STATES)

    def body_with_word(self, word: object) -> Mapping[str, Any]:
        return {**ANALYSIS, "job_id": JOB, "status": "completed", "prediction": word}

    def body_with_state(self, word: object) -> Mapping[str, Any]:
        return {**ANALYSIS, "job_id": JOB, "status": word, "prediction": "human"}

    def failed_body(self) -> Mapping[str, Any]:
        return {**ANALYSIS, "prediction": "human", "status": "failed", "message": "could not download"}


def test_the_vendor_is_in_the_list() -> None:
    assert VENDORS["asc"].settings is AscSettings
    capabilities = adapter().capabilities("asc")
    assert (capabilities.needs, capabilities.prepares, capabilities.callbacks) == (Needs.LINK, False, "run")
    assert capabilities.formats == {"mp3", "wav", "flac", "ogg", "m4a"}


def test_the_callback_sample_reads_as_documented() -> None:
    found = read(CALLBACK)
    assert (found.status, found.verdict, found.verdict_raw) == (
        RunStatus.SUCCEEDED,
        Verdict.AI_GENERATED,
        "ai",
    )
    assert found.score is not None
    assert (found.score.value, found.score.min, found.score.max) == (91, 0, 100)
    assert (found.score.semantics, found.score.polarity) == ("ai_likelihood", "ai_high")
    assert found.confidence is not None
    assert (found.confidence.label, found.confidence.value) == ("very_high", None)
    assert (found.reasons, found.engine.version, found.vendor_ms) == ([], None, None)
    assert found.vendor_completed_at == datetime(2026, 3, 30, 14, 25, tzinfo=UTC)
    assert (found.refs.job_id, found.refs.other) == (JOB, {"event": "analysis.complete"})


@pytest.mark.parametrize("nest", [None, "result", "data"])
def test_a_finished_poll_is_read_at_the_top_or_nested(nest: str | None) -> None:
    body = {"job_id": JOB, "status": "completed", **({nest: ANALYSIS} if nest else ANALYSIS)}
    found = read(body)
    assert (found.verdict, found.engine.version, found.vendor_ms) == (Verdict.AI_GENERATED, "v8.3", 2341)
    assert (found.reasons, found.refs.job_id) == (ANALYSIS["reasons"], JOB)
    assert found.extras == {}


def test_human_is_no_ai_detected() -> None:
    found = read({**ANALYSIS, "status": "done", "prediction": "human", "ai_score": 8})
    assert found.verdict is Verdict.NO_AI_DETECTED
    assert found.score is not None
    assert found.score.value == 8


def test_the_reply_to_a_submission_reads_as_pending() -> None:
    found = read(sample("asc", "submit_reply"))
    assert (found.status, found.refs.job_id) == (RunStatus.PENDING, JOB)
    assert found.refs.other == {"estimated_time_sec": "30"}


def test_certificates_are_references_and_no_verdict() -> None:
    found = read(sample("asc", "certificate_check_reply"))
    assert (found.status, found.verdict) == (RunStatus.RUNNING, None)
    assert found.refs.other == {
        "certificate.id": "cert_abc123",
        "certificate.valid": "true",
        "certificate.issued_at": "2026-03-30T14:00:00Z",
    }


@pytest.mark.parametrize(
    "name",
    [
        *("health_reply", "usage_reply", "quota_reply", "submit_request", "certificate_request"),
        *("register_request", "error_invalid_format", "error_unauthorized"),
    ],
)
def test_what_is_no_answer_about_a_track_is_never_a_verdict(name: str) -> None:
    found = adapter().read(raw(sample("asc", name)), "asc")
    if isinstance(found, Reading):
        assert (found.status, found.verdict) == (RunStatus.RUNNING, None)
    else:
        assert name.startswith("error")


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("queued", RunStatus.PENDING),
        ("pending", RunStatus.PENDING),
        ("processing", RunStatus.RUNNING),
        ("RUNNING", RunStatus.RUNNING),
        ("completed", RunStatus.SUCCEEDED),
        ("Complete", RunStatus.SUCCEEDED),
        ("done", RunStatus.SUCCEEDED),
        ("success", RunStatus.SUCCEEDED),
        ("failed", RunStatus.FAILED),
        ("failure", RunStatus.FAILED),
        ("error", RunStatus.FAILED),
    ],
)
def test_the_usual_words_for_a_state_are_known(word: str, status: RunStatus) -> None:
    found = read({**ANALYSIS, "status": word})
    assert found.status is status
    assert (found.verdict is not None) == (status is RunStatus.SUCCEEDED)
    assert found.extras == {}


@pytest.mark.parametrize(
    ("outer", "inner", "status"),
    [
        ("success", "queued", RunStatus.PENDING),
        ("queued", "completed", RunStatus.PENDING),
        ("ok", "completed", RunStatus.SUCCEEDED),
        (200, "completed", RunStatus.SUCCEEDED),
        ("success", "resting", RunStatus.RUNNING),
        ("failed", "completed", RunStatus.FAILED),
        ("success", "failed", RunStatus.FAILED),
        ("success", None, RunStatus.SUCCEEDED),
    ],
)
def test_a_wrapper_that_says_success_does_not_end_the_job_inside(
    outer: object, inner: str | None, status: RunStatus
) -> None:
    assert read({"status": outer, "data": {**ANALYSIS, "status": inner}}).status is status


@pytest.mark.parametrize("event", ["analysis.failed", "certificate.ready", "analysis.started"])
def test_an_event_that_is_not_documented_ends_nothing(event: str) -> None:
    found = read({**CALLBACK, "event": event})
    assert (found.status, found.verdict) == (RunStatus.RUNNING, None)
    assert found.extras == {"unknown_status": event}


def test_an_answer_that_contradicts_itself_is_no_answer() -> None:
    for inner in ({"prediction": "human"}, {"job_id": "job_other"}):
        found = adapter().read(raw({**CALLBACK, "result": inner}), "asc")
        assert isinstance(found, Refused)
        assert found.reason_code is ReasonCode.SCHEMA_MISMATCH


def test_an_error_envelope_under_a_good_status_is_believed() -> None:
    found = adapter().read(raw(sample("asc", "error_unauthorized")), "asc")
    assert found == Refused(ReasonCode.AUTH_FAILED, "unauthorized: Invalid or expired API key", retryable=False)


def test_a_failure_gives_the_vendors_reason_without_the_key() -> None:
    found = read({"job_id": JOB, "status": "error", "data": {"message": f"bad link {KEY}"}})
    assert (found.reason_code, found.reason_text) == (ReasonCode.VENDOR_ERROR, "bad link [key]")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ai_score", 101),
        ("ai_score", "87"),
        ("analysis_time_ms", "fast"),
        ("timestamp", "2026-03-30T14:25:00"),
        ("confidence_level", 3),
        ("reasons", "because"),
        ("engine", 8.3),
    ],
)
def test_a_value_of_another_kind_is_kept_but_not_used(field: str, value: object) -> None:
    found = read({**CALLBACK, **ANALYSIS, field: value})
    assert found.verdict is Verdict.AI_GENERATED
    assert found.extras == {field: value}


@pytest.mark.parametrize(
    "inside", [{"error": 0.013}, {"error": 3}, {"prediction": "human"}, {"bins": [{"failed": True}]}]
)
def test_raw_features_speak_against_no_verdict(inside: dict[str, Any]) -> None:
    for body in ({**ANALYSIS, "features": inside}, {"status": "completed", "result": {**ANALYSIS, "features": inside}}):
        assert read(body).verdict is read(ANALYSIS).verdict


def test_raw_features_are_extras() -> None:
    assert read({**ANALYSIS, "features": {"zcr": 1}}).extras == {"features": {"zcr": 1}}


def test_a_job_not_found_is_asked_for_again_but_an_action_not_found_is_not() -> None:
    polled = adapter().read(raw({}, 404), "asc")
    submitted = adapter().parse_submit(raw({}, 404))
    assert isinstance(polled, Refused)
    assert isinstance(submitted, Refused)
    assert (polled.retryable, submitted.retryable) == (True, False)


@pytest.mark.parametrize(
    ("estimate", "seconds"), [(30, 30), (29.6, 30), (None, None), (-1, None), ("30", None), (True, None)]
)
def test_an_estimate_is_taken_where_it_is_one(estimate: object, seconds: int | None) -> None:
    body = {"job_id": JOB, "status": "queued", "estimated_time_sec": estimate}
    assert adapter().parse_submit(raw(body, 202)) == Accepted(JOB, seconds)


@pytest.mark.parametrize("body", [{}, {"job_id": ""}, {"job_id": None}, {"job_id": "a\nb"}, {"status": "processing"}])
def test_a_submission_without_a_job_is_a_schema_mismatch(body: dict[str, object]) -> None:
    found = adapter().parse_submit(raw(body, 202))
    assert isinstance(found, Refused)
    assert (found.reason_code, found.retryable) == (ReasonCode.SCHEMA_MISMATCH, False)


@pytest.mark.parametrize("body", [{"data": {"job_id": JOB, "status": "queued"}}, {"job_id": JOB, "status": "success"}])
def test_a_job_is_a_job_wherever_it_is_named_and_whatever_the_wrapper_says(body: dict[str, object]) -> None:
    assert adapter().parse_submit(raw(body, 202)) == Accepted(JOB)


def test_callbacks_are_as_authentic_as_their_address() -> None:
    vendor = adapter()
    assert vendor.verify({}, CALLBACK, [], NOW) is Authenticity.URL_TOKEN
    assert vendor.challenge({"type": "url_verification", "challenge": "x"}) is None
    assert vendor.refs(CALLBACK) == CallbackRefs(JOB)
    assert vendor.refs({"job_id": 5}) == vendor.refs({}) == CallbackRefs(None)
    ready = {**sample("asc", "certificate_reply"), "event": "certificate.ready"}
    assert vendor.refs(ready) == CallbackRefs(None, "cert_abc123")


async def test_there_is_no_first_step() -> None:
    with pytest.raises(NotImplementedError):
        await adapter().prepare(ask())


async def test_both_requests_are_sent_as_documented() -> None:
    answers = {
        "POST /v1?action=analyze-url": ("202 Accepted", sample("asc", "submit_reply")),
        f"GET /v1?action=job&id={JOB}": ("200 OK", {"job_id": JOB, "status": "done", **ANALYSIS}),
    }
    async with vendor_server(answers) as server:
        vendor = adapter(f"{server.url}/v1")
        links = {"media_url": "https://r.example/media/t/a.mp3", "callback_url": "https://r.example/callbacks/asc/t"}
        submitted = vendor.parse_submit(await vendor.submit(ask(**links)))
        assert submitted == Accepted(JOB, 30)
        polled = vendor.read(await vendor.fetch(ask(vendor_job_id=JOB)), "asc")
        assert isinstance(polled, Reading)
        assert polled.verdict is Verdict.AI_GENERATED
        await vendor.submit(ask(media_url="https://r.example/a"))
    assert [asked.headers["x-api-key"] for asked in server.asked] == [KEY] * 3
    assert server.asked[0].json == {"url": links["media_url"], "callback_url": links["callback_url"]}
    assert server.asked[2].json == {"url": "https://r.example/a"}


async def test_addresses_with_a_query_and_other_names_are_used_as_set() -> None:
    answers = {
        "POST /x?plan=pro&action=submit": ("202 Accepted", {"job_id": JOB}),
        "GET /api-v1?plan=pro&action=state&id=j%26k": ("200 OK", {"status": "queued"}),
    }
    async with vendor_server(answers) as server:
        vendor = adapter(
            f"{server.url}/x?plan=pro&action=analyze",
            job_url=f"{server.url}/api-v1?plan=pro",
            submit_action="submit",
            job_action="state",
        )
        assert vendor.parse_submit(await vendor.submit(ask(media_url="https://r.example/a"))) == Accepted(JOB)
        polled = vendor.read(await vendor.fetch(ask(vendor_job_id="j&k")), "asc")
        assert isinstance(polled, Reading)
        assert polled.status is RunStatus.PENDING
