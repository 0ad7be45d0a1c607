"""Our signatures are the ones that Standard Webhooks describes: two known ones, and the standard's own package."""

import base64
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook

from service.kit.security.signatures import new_secret, sign


@pytest.mark.parametrize(
    ("message_id", "timestamp", "secret", "body", "signature"),
    [
        (
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1614265330,
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            b'{"test": 2432232314}',
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        ),
        (
            "msg_loFOjxBNrRLzqYUf",
            1731705121,
            "whsec_plJ3nmyCDGBKInavdOK15jsl",
            b'{"event_type":"ping","data":{"success":true}}',
            "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=",
        ),
    ],
)
def test_known_messages_have_their_known_signatures(
    message_id: str, timestamp: int, secret: str, body: bytes, signature: str
) -> None:
    assert sign(secret, message_id, timestamp, body) == signature
    assert sign(secret, message_id, timestamp, body + b" ") != signature
    assert sign(secret, message_id, timestamp + 1, body) != signature
    assert sign(secret, message_id + "x", timestamp, body) != signature


@given(st.dictionaries(st.text(max_size=9), st.text() | st.integers() | st.none(), max_size=4))
def test_the_standards_own_package_accepts_what_we_sign(document: dict[str, object]) -> None:
    secret, body = new_secret(), json.dumps(document, ensure_ascii=True).encode()
    timestamp = int(datetime.now(UTC).timestamp())
    headers = {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(secret, "evt_1", timestamp, body),
    }
    assert Webhook(secret).verify(body, headers) == document


def test_a_new_secret_is_32_bytes_that_nobody_had_before() -> None:
    secrets = {new_secret() for _ in range(50)}
    assert len(secrets) == 50
    assert all(secret.startswith("whsec_") for secret in secrets)
    assert {len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) for secret in secrets} == {32}
