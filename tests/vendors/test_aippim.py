"""AIPPIM keeps the contract of adapters, and its three requests leave as documented."""

import copy
from collections.abc import Mapping
from typing import Any

import pytest
from python_multipart.multipart import parse_options_header

from service.detectors.enums import ReasonCode, Verdict
from service.detectors.port import Accepted, Needs, Prepared, Refused
from service.detectors.reading import Reading
from service.vendors import VENDORS
from service.vendors.aippim import AippimSettings
from service.vendors.aippim.envelope import STATES
from service.vendors.aippim.results import VERDICTS
from tests.vendors.aippim_answers import (
    PRO,
    STANDARD,
    TASK,
    adapter,
    ask,
)
from tests.vendors.contract import KEY, DetectorContract, raw, sample
from tests.vendors.vendor_server import vendor_server


class TestContract(DetectorContract):
    adapter = adapter()
    answers = {  # noqa: RUF012 - read only
        name: sample("aippim", name)
        for name in (
            *("submit_reply", "callback_processing"),
            *("callback_completed_standard", "callback_completed_pro", "callback_completed_pro_v2"),
        )
    }
    fields = frozenset(
        {
            *("task_id", "taskId", "status", "result", "error", "model", "model_type", "created_at"),
            *("completed_at", "completedAt", "final_result", "model_results"),
        }
    )

    a_pass = STANDARD
    required = tuple(f"result/audio_filename.mp3/{path}" for path in ("final_result/prediction", "model_results"))
    words = frozenset(VERDICTS)
    states = frozenset(STATES)

    def body_with_word(self, word: object) -> Mapping[str, Any]:
        body = copy.deepcopy(STANDARD)
        body["result"]["audio_filename.mp3"]["final_result"]["prediction"] = word
        return body

    def body_with_state(self, word: object) -> Mapping[str, Any]:
        return {**STANDARD, "status": word}

    def failed_body(self) -> Mapping[str, Any]:
        return {**STANDARD, "status": "failure", "error": "decoder gave up"}


def test_the_vendor_is_in_the_list() -> None:
    assert VENDORS["aippim"].settings is AippimSettings
    capabilities = adapter().capabilities("aippim/lite")
    assert (capabilities.needs, capabilities.prepares, capabilities.callbacks) == (Needs.UPLOAD, True, "account")


def test_a_404_means_the_key_at_the_door_and_patience_at_the_poll() -> None:
    vendor, missing = adapter(), raw({}, 404)
    for found in (vendor.parse_prepare(missing), vendor.parse_submit(missing)):
        assert isinstance(found, Refused)
        assert (found.reason_code, found.retryable) == (ReasonCode.AUTH_FAILED, False)
    polled = vendor.read(missing, "aippim/standard")
    assert isinstance(polled, Refused)
    assert (polled.reason_code, polled.retryable) == (ReasonCode.VENDOR_ERROR, True)


@pytest.mark.parametrize("body", [{"task_id": TASK}, {"taskId": TASK}, {"task_id": TASK, "taskId": TASK}])
def test_a_submission_is_accepted_under_either_spelling(body: dict[str, object]) -> None:
    assert adapter().parse_submit(raw(body, 201)) == Accepted(TASK)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"task_id": TASK, "taskId": "task_2"},
        {"task_id": ""},
        {"task_id": ".."},
        {"task_id": "a\nb"},
        {"task_id": "x" * 2001},
    ],
)
def test_a_submission_without_one_usable_task_is_a_schema_mismatch(body: dict[str, object]) -> None:
    found = adapter().parse_submit(raw(body))
    assert isinstance(found, Refused)
    assert (found.reason_code, found.retryable) == (ReasonCode.SCHEMA_MISMATCH, False)


async def test_the_three_requests_are_sent_as_documented() -> None:
    strange = "task/../7?x"
    upload = {"musicId": "cd75b87f-cad9-4dfd-a49f-8a2d34408a0e", "title": "track", "created_at": "2026-04-01T00:00:00Z"}
    answers = {
        "POST /api/v1/music": ("200 OK", upload),
        "POST /api/v1/ai-detection/pro": ("200 OK", sample("aippim", "submit_reply")),
        "GET /api/v1/task/result/task%2F..%2F7%3Fx": ("200 OK", PRO),
    }
    async with vendor_server(answers) as server:
        vendor = adapter(server.url + "/")
        prepared = vendor.parse_prepare(await vendor.prepare(ask()))
        assert prepared == Prepared(upload["musicId"], {"title": "track"})
        submitted = vendor.parse_submit(await vendor.submit(ask(prepared_ref=prepared.ref)))
        assert isinstance(submitted, Accepted)
        assert (submitted.job_id, submitted.other["model"]) == (TASK, "standard")
        polled = vendor.read(await vendor.fetch(ask(vendor_job_id=strange)), "aippim/pro")
        assert isinstance(polled, Reading)
        assert polled.verdict is Verdict.AI_GENERATED
    assert all(asked.headers["authorization"] == f"Bearer {KEY}" for asked in server.asked)
    form, submission, _ = server.asked
    kind, options = parse_options_header(form.headers["content-type"])
    assert (kind, set(options)) == (b"multipart/form-data", {b"boundary"})
    assert b'name="file"; filename="run_1.%22x%22.mp3"\r\nContent-Type: audio/mpeg\r\n\r\nRIFF\r\n' in form.body
    assert submission.json == {"musicId": upload["musicId"]}


@pytest.mark.parametrize("body", [{}, {"musicId": None}, {"musicId": ""}, {"musicId": {}}, {"music_id": "x"}])
def test_an_upload_without_a_music_id_is_a_schema_mismatch(body: dict[str, object]) -> None:
    found = adapter().parse_prepare(raw(body))
    assert isinstance(found, Refused)
    assert found.reason_code is ReasonCode.SCHEMA_MISMATCH
