import asyncio
import base64
import hashlib
import hmac
import time
from collections.abc import Iterator

import httpx
import pytest

from service.sandbox.receiver import Receiver
from tests.sandbox.serving import serving

KEY = b"0123456789abcdef0123456789abcdef"
SECRET = "whsec_" + base64.b64encode(KEY).decode()
BODY = b'{"type": "detection.completed"}'


def signed(body: bytes = BODY, webhook_id: str = "evt_1", key: bytes = KEY, age: int = 0) -> dict[str, str]:
    timestamp = int(time.time()) - age
    mac = hmac.new(key, f"{webhook_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{base64.b64encode(mac).decode()}",
    }


@pytest.fixture
def receiver() -> Receiver:
    return Receiver(lambda: SECRET)


@pytest.fixture
def url(receiver: Receiver) -> Iterator[str]:
    with serving(receiver.app) as base:
        yield f"{base}/any/path"


def test_a_real_webhook_is_taken_and_kept(receiver: Receiver, url: str) -> None:
    assert httpx.post(url, content=BODY, headers=signed()).status_code == 204
    (one,) = receiver.received
    assert (one.webhook_id, one.verified, one.body) == ("evt_1", True, BODY)
    assert one.headers["webhook-id"] == "evt_1"
    assert one.at.tzinfo is not None


def test_the_second_of_one_id_is_counted_not_kept(receiver: Receiver, url: str) -> None:
    for _ in range(3):
        assert httpx.post(url, content=BODY, headers=signed()).status_code == 204
    assert (len(receiver.received), receiver.duplicates) == (1, 2)


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (BODY + b" ", signed()),
        (BODY, signed(key=b"another key")),
        (BODY, signed(age=600)),
        (BODY, {}),
        (BODY, signed() | {"webhook-id": "evt_2"}),
        (BODY, signed() | {"webhook-signature": "v1"}),
        (BODY, signed() | {"webhook-signature": "v1,a"}),
        (BODY, signed() | {"webhook-timestamp": "1e400"}),
        (BODY, signed() | {"webhook-timestamp": "nan"}),
        (b"\xff\xfe", signed(b"\xff\xfe")),
        (b"no json", signed(b"no json")),
        (b"[" * 100_000, signed(b"[" * 100_000)),
    ],
)
def test_tampered_or_hostile_input_is_refused_and_does_not_use_up_the_id(
    receiver: Receiver, url: str, body: bytes, headers: dict[str, str]
) -> None:
    assert httpx.post(url, content=body, headers=headers).status_code == 400
    assert [one.verified for one in receiver.received] == [False]
    assert httpx.post(url, content=BODY, headers=signed()).status_code == 204
    assert [one.verified for one in receiver.received] == [False, True]


def test_signature_that_is_no_ascii_is_refused(url: str) -> None:
    headers = {name.encode(): value.encode() for name, value in signed().items()}
    headers[b"webhook-signature"] = b"v1,\xc3\xa4\xc3\xb6"
    assert httpx.post(url, content=BODY, headers=headers).status_code == 400


@pytest.mark.parametrize("secret", [None, "", "whsec_", "whsec_?!"])
def test_without_a_usable_secret_nothing_is_verified(secret: str | None) -> None:
    receiver = Receiver(lambda: secret)
    with serving(receiver.app) as base:
        assert httpx.post(base, content=BODY, headers=signed()).status_code == 400


def test_waiting_ends_with_the_first_that_fits(receiver: Receiver, url: str) -> None:
    async def run() -> str | None:
        waiting = asyncio.create_task(receiver.wait_for(lambda one: one.webhook_id == "evt_b", 10))
        async with httpx.AsyncClient() as client:
            for webhook_id in ("evt_a", "evt_b"):
                await client.post(url, content=BODY, headers=signed(webhook_id=webhook_id))
        return (await waiting).webhook_id

    assert asyncio.run(run()) == "evt_b"


def test_waiting_in_vain_ends_with_a_timeout(receiver: Receiver) -> None:
    with pytest.raises(TimeoutError):
        asyncio.run(receiver.wait_for(lambda _: True, 0.01))
