"""What every attempt carries, as the standard's own package reads it."""

from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from service.kit.security.sealing import SealBroken
from service.kit.security.signatures import new_secret
from service.webhooks.sending.signing import (
    HEADERS_PURPOSE,
    SECRET_PURPOSE,
    open_headers,
    open_secrets,
    webhook_headers,
)
from tests.webhooks.rows import SEALER

BODY = '{"type":"detection.completed","data":{"title":"Żółć"}}'.encode()


def test_each_of_two_secrets_verifies_what_was_signed_with_both() -> None:
    secrets = [new_secret(), new_secret()]
    headers = webhook_headers("evt_1", BODY, secrets, datetime.now(UTC))
    assert len(headers["webhook-signature"].split(" ")) == 2
    for secret in secrets:
        assert Webhook(secret).verify(BODY, headers)["data"] == {"title": "Żółć"}
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(BODY, headers)


def test_the_id_stays_and_the_time_is_the_attempts_own() -> None:
    secret, now = new_secret(), datetime(2026, 11, 20, 12, 0, 0, 999_999, tzinfo=UTC)
    first, second = (webhook_headers("evt_1", BODY, [secret], now + timedelta(seconds=wait)) for wait in (0, 5))
    assert first["webhook-id"] == second["webhook-id"] == "evt_1"
    assert first["webhook-timestamp"] == str(int(now.timestamp()))
    assert int(second["webhook-timestamp"]) - int(first["webhook-timestamp"]) == 5
    assert first["webhook-signature"] != second["webhook-signature"]


def test_the_body_is_announced_as_json_by_a_name_of_ours() -> None:
    headers = webhook_headers("evt_1", BODY, [new_secret()], datetime.now(UTC))
    assert headers["content-type"] == "application/json"
    assert headers["user-agent"].startswith("VerdictRelay/")


def test_sealed_secrets_open_in_their_order_for_their_own_row_only() -> None:
    one, other = (SEALER.seal(SECRET_PURPOSE, owner, owner.encode()) for owner in ("whs_1", "whs_2"))
    assert open_secrets(SEALER, [("whs_2", other), ("whs_1", one)]) == ["whs_2", "whs_1"]
    with pytest.raises(SealBroken):
        open_secrets(SEALER, [("whs_1", other)])


def test_sealed_headers_open_for_their_endpoint_only() -> None:
    sealed = SEALER.seal(HEADERS_PURPOSE, "we_1", b'{"X-Key":"open sesame"}')
    assert open_headers(SEALER, "we_1", sealed) == {"X-Key": "open sesame"}
    assert open_headers(SEALER, "we_1", None) == {}
    with pytest.raises(SealBroken):
        open_headers(SEALER, "we_2", sealed)
