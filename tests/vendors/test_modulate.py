"""Modulate's adapter: what every adapter promises, and the upload of a whole file over a real socket."""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from service.detectors.enums import ReasonCode, RunStatus, Verdict
from service.detectors.port import CallbackRefs, Needs, Raw, Refused, RunContext
from service.detectors.reading import Reading
from service.vendors.modulate import Modulate, ModulateSettings
from service.vendors.modulate.results import VERDICTS
from tests.loopback import Peer, answer, peer, read_request
from tests.vendors.contract import KEY, NOW, DetectorContract, exchange, raw, sample

BATCH = sample("modulate", "batch_reply")
NEW_WINDOWS = sample("modulate", "batch_reply_new_windows")
PATH = "/api/velma-2-ai-music-detection-batch"


def adapter(base_url: str = "http://vendor.invalid", **knobs: Any) -> Modulate:
    return Modulate(ModulateSettings(base_url=base_url, api_key=KEY, **knobs), exchange())


async def four_bytes() -> AsyncIterator[bytes]:
    yield b"ab"
    yield b"cd"


ASK = RunContext("run_1", "modulate", None, "run_1.m4a", 4, "audio/mp4", four_bytes)


class TestContract(DetectorContract):
    adapter = adapter()
    answers = {"batch_reply": BATCH, "batch_reply_new_windows": NEW_WINDOWS}  # noqa: RUF012 - read only
    fields = frozenset({*BATCH, "detail", "window", "type", "done"})
    synchronous = True
    a_pass = sample("modulate", "batch_reply_not_ai")
    required = (*sorted(BATCH), *(f"windows/0/{name}" for name in sorted(BATCH["windows"][0])))
    words = frozenset(VERDICTS)

    def body_with_word(self, word: object) -> Mapping[str, Any]:
        return {**BATCH, "primary_verdict": word}

    def body_with_state(self, word: object) -> Mapping[str, Any]:
        """It has no states: whatever looks like one, a result without a verdict is not the documented result."""
        return {key: value for key, value in BATCH.items() if key != "primary_verdict"} | {"status": word}

    def failed_body(self) -> Mapping[str, Any]:
        return {**BATCH, "detail": "Internal server error"}


def test_both_detectors_take_what_their_documents_list() -> None:
    batch, stream = (adapter().capabilities(detector) for detector in ("modulate", "modulate/streaming"))
    assert batch.formats == {"aac", "flac", "m4a", "mp3", "ogg", "wav"}
    assert stream.formats == {"aac", "aiff", "flac", "mp3", "ogg", "wav", "webm"}
    assert (batch.max_bytes, stream.max_bytes) == (100_000_000, None)
    for each in (batch, stream):
        assert (each.needs, each.prepares, each.callbacks) == (Needs.UPLOAD, False, None)


def test_no_callback_is_modulates_own() -> None:
    vendor = adapter()
    assert vendor.verify({}, BATCH, [], NOW) is None
    assert vendor.challenge({"type": "url_verification", "challenge": "x"}) is None
    assert vendor.refs(BATCH) == CallbackRefs(None)


async def test_there_is_no_first_step_and_nothing_to_ask_for_later() -> None:
    vendor = adapter()
    for step in (vendor.prepare, vendor.fetch):
        with pytest.raises(NotImplementedError):
            await step(ASK)


async def _asked(status: str, reply: object, *, knocking: bool = False) -> tuple[Raw, dict[str, str], bytes, str]:
    """What the adapter got, and the request it sent: headers, body, first line."""
    seen: list[tuple[str, dict[str, str], bytes]] = []

    async def handle(reader: Any, writer: Any) -> None:
        seen.append(await read_request(reader))
        writer.write(answer(json.dumps(reply).encode(), status=status, headers="content-type: application/json\r\n"))

    listening: Peer
    async with peer(handle) as listening:
        vendor = adapter(listening.url + "/")
        found = await (vendor.check_credentials() if knocking else vendor.submit(ASK))
    [(line, headers, body)] = seen
    return found, headers, body, line


async def test_a_file_is_uploaded_as_documented_and_answered_at_once() -> None:
    found, headers, body, line = await _asked("200 OK", BATCH)
    assert line == f"POST {PATH} HTTP/1.1"
    assert headers["x-api-key"] == KEY
    assert headers["content-type"].startswith("multipart/form-data; boundary=")
    assert b'name="upload_file"; filename="run_1.m4a"\r\nContent-Type: audio/mp4\r\n\r\nabcd\r\n' in body
    assert body.count(b"Content-Disposition") == 1
    reading = adapter().parse_submit(found)
    assert isinstance(reading, Reading)
    assert (reading.status, reading.verdict) == (RunStatus.SUCCEEDED, Verdict.AI_GENERATED)
    assert reading == adapter().read(found, "modulate")


async def test_a_knock_is_an_empty_file_that_nothing_is_spent_on() -> None:
    found, headers, body, _ = await _asked("400 Bad Request", {"detail": "The uploaded file is empty."}, knocking=True)
    assert (found.status, headers["x-api-key"]) == (400, KEY)
    assert b'filename="empty.wav"\r\nContent-Type: audio/wav\r\n\r\n\r\n--' in body


async def test_a_refusal_of_the_upload_is_read_from_its_answer() -> None:
    found, *_ = await _asked("400 Bad Request", {"detail": "The uploaded file is empty."})
    assert adapter().parse_submit(found) == Refused(
        ReasonCode.BAD_REQUEST, "The uploaded file is empty.", retryable=False
    )


def test_an_answer_that_is_no_result_is_not_asked_for_again() -> None:
    """It has been billed, and the next would be billed too."""
    found = adapter().parse_submit(raw(b"<html>"))
    assert isinstance(found, Refused)
    assert (found.reason_code, found.retryable) == (ReasonCode.SCHEMA_MISMATCH, False)
