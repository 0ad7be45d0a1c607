"""Every example of the vendors' documents is kept, is read, and means what is written down beside it: all of it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from service.detectors.port import Accepted, Refused
from service.detectors.reading import Reading
from tests.vendors import aippim_answers, asc_answers
from tests.vendors.contract import sample
from tests.vendors.golden_answers import ANSWERS, READINGS, REQUESTS, golden, sample_bytes, sample_names, told
from tests.vendors.vendor_server import vendor_server

WITH_EXTRAS = {"pex/reply_unknown_status"}  # no example of the vendor's: the word it says has no home


def test_every_sample_is_read_by_a_golden_or_is_sent_by_us() -> None:
    assert sample_names() == set(ANSWERS) | REQUESTS


def test_every_reading_that_is_written_down_is_of_a_sample() -> None:
    kept = {str(path.relative_to(READINGS).with_suffix("")) for path in READINGS.rglob("*.json")}
    assert kept == set(ANSWERS)


@pytest.mark.parametrize("name", sorted(ANSWERS))
def test_a_sample_means_what_is_written_down_and_nothing_else(name: str) -> None:
    assert told(ANSWERS[name](sample_bytes(name))) == golden(name)


@pytest.mark.parametrize("name", sorted(ANSWERS))
def test_what_is_written_down_is_a_whole_reading_without_extras_or_no_reading(name: str) -> None:
    written = golden(name)
    if "Reading" not in written:
        assert list(written) in (["Accepted"], ["Refused"]) or not isinstance(
            ANSWERS[name](sample_bytes(name)), Reading | Accepted | Refused
        )
        return
    found = Reading.model_validate(written["Reading"])
    assert found == ANSWERS[name](sample_bytes(name))
    assert (found.extras != {}) == (name in WITH_EXTRAS)
    assert (found.verdict is not None) == (found.status == "succeeded")


async def _sent(name: str) -> Any:
    """What leaves when we say what the sample says."""
    body = sample(*name.split("/", 1))
    async with vendor_server({}) as server:
        asc, aippim = asc_answers.adapter(f"{server.url}/v1"), aippim_answers.adapter(server.url)
        at_once = asc_answers.ask_at_once("track", media_url=body.get("audio_url") or body.get("url"))
        job = replace(at_once, detector="asc", tier=None, callback_url=body.get("callback_url"))
        ways: Mapping[str, Any] = {
            "aippim/submit_request": lambda: aippim.submit(aippim_answers.ask(prepared_ref=body["musicId"])),
            "asc/analyze_request": lambda: asc.submit(at_once),
            "asc/submit_request": lambda: asc.submit(job),
            "asc/certificate_request": lambda: asc.certify(body["analysis_id"], body["format"]),
            "asc/register_request": lambda: asc.register(body["url"]),
        }
        await ways[name]()
    return server.asked[0].json


@pytest.mark.parametrize("name", sorted(REQUESTS))
async def test_what_we_send_is_what_the_vendors_example_sends(name: str) -> None:
    assert await _sent(name) == sample(*name.split("/", 1))
