"""`asc/sync`: one request with a link or with the audio itself, answered at once."""

import base64
import json
from typing import Any

import pytest

from service.detectors.enums import ReasonCode, RunStatus, Verdict
from service.detectors.port import Needs, Refused
from service.detectors.reading import Reading
from tests.vendors.asc_answers import SOUND, adapter, ask_at_once
from tests.vendors.contract import KEY, raw, sample
from tests.vendors.vendor_server import vendor_server

ANALYSIS = sample("asc", "analyze_reply")
LINK = "https://r.example/media/t/run_1.mp3"


def test_it_is_not_asked_unless_it_is_named_and_calls_nobody_back() -> None:
    vendor = adapter()
    assert vendor.detectors == ("asc", "asc/sync")
    assert vendor.capabilities("asc/sync").callbacks is None


def test_by_link_it_takes_what_the_plan_takes_and_encoded_a_quarter_less() -> None:
    linked, encoded = (adapter(sync_input=word).capabilities("asc/sync") for word in ("url", "base64"))
    assert (linked.needs, linked.max_bytes) == (Needs.LINK, 52_428_800)
    assert (encoded.needs, encoded.takes_link, encoded.max_bytes) == (Needs.UPLOAD, True, 37_500_000)


def test_a_larger_plan_takes_larger_files() -> None:
    plan: dict[str, Any] = {"max_megabytes": 500}
    for detector in ("asc", "asc/sync"):
        assert adapter(**plan).capabilities(detector).max_bytes == 524_288_000
    assert adapter(sync_input="base64", **plan).capabilities("asc/sync").max_bytes == 375_000_000


def test_the_answer_is_the_result() -> None:
    found = adapter().parse_submit(raw(ANALYSIS))
    assert isinstance(found, Reading)
    assert (found.status, found.verdict, found.vendor_ms) == (RunStatus.SUCCEEDED, Verdict.AI_GENERATED, 2341)
    assert (found.reasons, found.engine.version, found.extras) == (ANALYSIS["reasons"], "v8.3", {})


@pytest.mark.parametrize(
    ("changed", "code"),
    [({"prediction": "maybe"}, ReasonCode.UNKNOWN_VERDICT), ({"status": "failed"}, ReasonCode.VENDOR_ERROR)],
)
def test_an_answer_without_a_verdict_ends_it_as_failed(changed: dict[str, str], code: ReasonCode) -> None:
    found = adapter().parse_submit(raw({**ANALYSIS, **changed}))
    assert isinstance(found, Reading)
    assert (found.status, found.verdict, found.reason_code) == (RunStatus.FAILED, None, code)


@pytest.mark.parametrize("word", ["queued", "processing", "resting"])
def test_an_answer_that_is_no_end_and_names_no_job_is_a_schema_mismatch(word: str) -> None:
    found = adapter().parse_submit(raw({**ANALYSIS, "status": word}))
    assert isinstance(found, Refused)
    assert (found.reason_code, found.retryable) == (ReasonCode.SCHEMA_MISMATCH, False)


def test_an_error_envelope_under_a_good_status_is_no_result() -> None:
    found = adapter().parse_submit(raw(sample("asc", "error_unauthorized") | {"prediction": "human"}))
    assert found == Refused(ReasonCode.AUTH_FAILED, "unauthorized: Invalid or expired API key", retryable=False)


def test_an_answer_that_contradicts_itself_is_not_asked_for_again() -> None:
    found = adapter().parse_submit(raw({**ANALYSIS, "result": {"prediction": "human"}}))
    assert isinstance(found, Refused)
    assert (found.reason_code, found.retryable) == (ReasonCode.SCHEMA_MISMATCH, False)


async def test_without_a_link_where_one_is_needed_the_caller_is_mistaken() -> None:
    with pytest.raises(ValueError, match="media_url is missing"):
        await adapter().submit(ask_at_once())


async def test_a_link_is_sent_as_documented() -> None:
    async with vendor_server({"POST /v1?action=analyze": ("200 OK", ANALYSIS)}) as server:
        vendor = adapter(f"{server.url}/v1")
        assert isinstance(vendor.parse_submit(await vendor.submit(ask_at_once(media_url=LINK))), Reading)
        await adapter(f"{server.url}/v1", include_features=True).submit(ask_at_once("run_1.aiff", media_url=LINK))
    assert [asked.headers["x-api-key"] for asked in server.asked] == [KEY, KEY]
    assert server.asked[0].json == {"audio_url": LINK, "format": "mp3"}
    assert server.asked[1].json == {"audio_url": LINK, "include_features": True}


@pytest.mark.parametrize("pieces", [1, 2, 3, 7, 1024, 5000])
async def test_the_audio_is_encoded_as_it_streams_and_its_length_is_announced(pieces: int) -> None:
    async with vendor_server({"POST /v1?action=analyze": ("200 OK", ANALYSIS)}) as server:
        vendor = adapter(f"{server.url}/v1", sync_input="base64")
        assert isinstance(vendor.parse_submit(await vendor.submit(ask_at_once(pieces=pieces))), Reading)
    (asked,) = server.asked
    assert "transfer-encoding" not in asked.headers
    assert (asked.headers["content-type"], int(asked.headers["content-length"])) == (
        "application/json",
        len(asked.body),
    )
    sent = json.loads(asked.body)
    assert (base64.b64decode(sent.pop("audio_data"), validate=True), sent) == (SOUND, {"format": "mp3"})


async def test_a_customers_own_link_goes_instead_of_the_audio_and_a_twin_is_told_the_name() -> None:
    answers = {
        "POST /v1?action=analyze": ("200 OK", ANALYSIS),
        "POST /v1?action=analyze&sandbox_name=run_1.ai.mp3": ("200 OK", ANALYSIS),
    }
    async with vendor_server(answers) as server:
        vendor = adapter(f"{server.url}/v1", sync_input="base64")
        await vendor.submit(ask_at_once(media_url=LINK, sandbox_name="run_1.ai.mp3"))
        named = await vendor.submit(ask_at_once(sandbox_name="run_1.ai.mp3"))
    assert set(server.asked[0].json) == {"audio_url", "format"}
    assert named.status == 200
