"""What an integrator of ASC must get right, each named by its number in the list of traps."""

from dataclasses import replace

import pytest

from service.detectors.enums import Authenticity, ReasonCode, RunStatus, Verdict
from service.detectors.port import Accepted, Refused, RunContext
from service.detectors.reading import Reading
from tests.vendors.asc_answers import adapter, ask_at_once
from tests.vendors.contract import NOW, raw, sample
from tests.vendors.vendor_server import vendor_server

CALLBACK, ANALYSIS = sample("asc", "callback_complete"), sample("asc", "analyze_reply")
LINK = "https://r.example/media/t/run_1.mp3"


def _as_job(asked: RunContext) -> RunContext:
    return replace(asked, detector="asc", tier=None)


def read(body: object) -> Reading:
    found = adapter().read(raw(body), "asc")
    assert isinstance(found, Reading)
    return found


@pytest.mark.parametrize(("score", "taken"), [(0, True), (1, True), (100, True), (100.5, False), (-1, False)])
def test_trap_14_a_score_is_of_a_hundred_and_is_never_rescaled(score: float, taken: bool) -> None:
    found = read({**ANALYSIS, "ai_score": score})
    assert (found.score is not None) is taken
    if found.score is not None:
        assert (found.score.value, found.score.min, found.score.max) == (score, 0, 100)


async def test_trap_14_the_two_actions_call_the_link_differently_and_one_form_is_sent() -> None:
    answers = {
        "POST /v1?action=analyze": ("200 OK", ANALYSIS),
        "POST /v1?action=analyze-url": ("202 Accepted", sample("asc", "submit_reply")),
    }
    async with vendor_server(answers) as server:
        at_once = ask_at_once(media_url=LINK)
        await adapter(f"{server.url}/v1").submit(at_once)
        await adapter(f"{server.url}/v1", sync_input="base64").submit(ask_at_once())
        job = ask_at_once(media_url=LINK, callback_url="https://r.example/callbacks/asc/t")
        await adapter(f"{server.url}/v1").submit(_as_job(job))
    assert [sorted(asked.json) for asked in server.asked] == [
        ["audio_url", "format"],
        ["audio_data", "format"],
        ["callback_url", "url"],
    ]


def test_trap_14_acceptance_is_no_result() -> None:
    assert adapter().parse_submit(raw(sample("asc", "submit_reply"), 202)) == Accepted("job_abc123def456", 30)
    assert read(sample("asc", "submit_reply")).status is RunStatus.PENDING


def test_trap_14_a_used_up_quota_says_when_to_come_again() -> None:
    body = {"error": "rate_limit_exceeded", "message": "Rate limit exceeded", "status": 429}
    found = adapter().parse_submit(raw(body, 429, retry_after="3600"))
    assert isinstance(found, Refused)
    assert (found.reason_code, found.retryable, found.retry_after_seconds) == (ReasonCode.RATE_LIMITED, True, 3600)


def test_trap_15_a_callback_is_as_authentic_as_its_address_and_no_more() -> None:
    assert adapter().verify({"x-signature": "00"}, CALLBACK, ["secret"], NOW) is Authenticity.URL_TOKEN


@pytest.mark.parametrize("body", [{"job_id": "j"}, {"job_id": "j", "status": "hibernating"}, {"prediction": None}, {}])
def test_trap_15_an_unknown_state_is_no_human(body: dict[str, object]) -> None:
    found = read(body)
    assert (found.status, found.verdict) == (RunStatus.RUNNING, None)


@pytest.mark.parametrize("word", [None, "", "unsure", "humans", "not ai", "h u m a n", "a.i.", True, 0])
def test_trap_15_a_missing_or_unknown_prediction_is_no_human(word: object) -> None:
    found = read({"job_id": "j", "status": "completed", "prediction": word})
    assert (found.status, found.verdict) == (RunStatus.FAILED, None)


async def test_trap_15_base_root_and_names_are_configuration() -> None:
    answers = {
        "POST /api-v2?action=go": ("202 Accepted", {"job_id": "j"}),
        "GET /api-v1?action=state&id=j": ("200 OK", {"result": {**ANALYSIS, "prediction": "human"}, "status": "done"}),
    }
    async with vendor_server(answers) as server:
        root = f"{server.url}/api-v1"
        vendor = adapter(f"{server.url}/api-v2", job_url=root, submit_action="go", job_action="state")
        assert vendor.parse_submit(await vendor.submit(_as_job(ask_at_once(media_url=LINK)))) == Accepted("j")
        found = vendor.read(await vendor.fetch(ask_at_once(vendor_job_id="j")), "asc")
    assert isinstance(found, Reading)
    assert found.verdict is Verdict.NO_AI_DETECTED
