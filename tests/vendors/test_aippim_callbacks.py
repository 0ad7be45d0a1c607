"""Who sent a callback, and about which task: AIPPIM's signature, address check and two spellings."""

import hashlib
import hmac
from datetime import timedelta

import pytest

from service.detectors.enums import Authenticity
from service.detectors.port import CallbackRefs
from tests.vendors.aippim_answers import STAMP, TASK, adapter
from tests.vendors.contract import NOW, raw


def signed(task: str, stamp: str = STAMP, key: str = "whsec") -> dict[str, str]:
    mac = hmac.new(key.encode(), f"{stamp}:{task}".encode(), hashlib.sha256).hexdigest()
    return {"x-mippia-timestamp": stamp, "x-mippia-signature": mac}


@pytest.mark.parametrize("seconds", [-300, 0, 300])
def test_a_signed_task_is_authentic_in_part_for_five_minutes(seconds: int) -> None:
    verify, now = adapter().verify, NOW + timedelta(seconds=seconds)
    assert verify(signed(TASK), {"task_id": TASK}, ["other", "whsec"], now) is Authenticity.PARTIAL_HMAC
    assert verify(signed(TASK), {"taskId": TASK}, ["whsec"], now) is Authenticity.PARTIAL_HMAC


@pytest.mark.parametrize("seconds", [-301, 301, 300.5])
def test_a_stale_or_early_signature_is_rejected(seconds: float) -> None:
    now = NOW + timedelta(seconds=seconds)
    assert adapter().verify(signed(TASK), {"task_id": TASK}, ["whsec"], now) is None


@pytest.mark.parametrize(
    "stamp",
    [f" {STAMP}", f"+{STAMP}", f"-{STAMP}", f"0{STAMP}", f"{STAMP}.0", f"{STAMP}\n", "1" * 13, "", "٣٤", "1e9", "0"],
)
def test_a_timestamp_that_is_not_a_plain_integer_is_rejected(stamp: str) -> None:
    assert adapter().verify(signed(TASK, stamp), {"task_id": TASK}, ["whsec"], NOW) is None


@pytest.mark.parametrize("bad", ["", "00", "0" * 63, "0" * 65, "g" * 64, "é" * 64, f"{'0' * 64}\n", "0" * 64])
def test_a_signature_that_is_not_the_one_is_rejected(bad: str) -> None:
    headers = {**signed(TASK), "x-mippia-signature": bad}
    assert adapter().verify(headers, {"task_id": TASK}, ["whsec"], NOW) is None


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"task_id": "task_other"},
        {"task_id": TASK, "taskId": "task_other"},
        {"task_id": [TASK]},
        {"task_id": "\ud800"},
    ],
)
def test_a_body_that_is_not_of_the_signed_task_is_rejected(body: dict[str, object]) -> None:
    assert adapter().verify(signed(TASK), body, ["whsec"], NOW) is None


@pytest.mark.parametrize("secrets", [[], [""], ["wrong"]])
def test_without_the_right_secret_nothing_is_authentic(secrets: list[str]) -> None:
    for headers in (signed(TASK), signed(TASK, key="")):
        assert adapter().verify(headers, {"task_id": TASK}, secrets, NOW) is None


def test_the_old_signature_over_the_raw_body_is_rejected() -> None:
    body = raw({"task_id": TASK}).body
    old = {"x-mippia-signature": hmac.new(b"whsec", body, hashlib.sha256).hexdigest()}
    for headers in (old, {**old, "x-mippia-timestamp": STAMP}):
        assert adapter().verify(headers, {"task_id": TASK}, ["whsec"], NOW) is None


@pytest.mark.parametrize(
    ("body", "echo"),
    [
        ({"type": "url_verification", "challenge": "c0de"}, {"challenge": "c0de"}),
        ({"type": "url_verification", "challenge": "c" * 1000}, {"challenge": "c" * 1000}),
        ({"type": "url_verification", "challenge": "c" * 1001}, None),
        ({"type": "url_verification", "challenge": 5}, None),
        ({"type": "url_verification", "challenge": "\ud800"}, None),
        ({"type": "other", "challenge": "c0de"}, None),
        ({"challenge": "c0de"}, None),
        ({}, None),
    ],
)
def test_the_address_check_is_echoed_and_nothing_else(body: dict[str, object], echo: dict[str, object] | None) -> None:
    assert adapter().challenge(body) == echo


@pytest.mark.parametrize(
    ("body", "refs"),
    [
        ({"task_id": "a"}, CallbackRefs("a")),
        ({"taskId": "a", "task_id": None}, CallbackRefs("a")),
        ({"task_id": "a", "taskId": "a"}, CallbackRefs("a")),
        ({"task_id": "a", "taskId": "b"}, None),
        ({"task_id": "5", "taskId": 5}, None),
        ({"task_id": 5}, CallbackRefs(None)),
        ({}, CallbackRefs(None)),
    ],
)
def test_a_callback_names_one_task_or_none(body: dict[str, object], refs: CallbackRefs | None) -> None:
    assert adapter().refs(body) == refs
