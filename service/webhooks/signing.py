"""The headers of an attempt: Standard Webhooks 1.0, one signature for each valid secret."""

import json
from collections.abc import Sequence
from datetime import datetime

from service.kit.sealing import Sealer
from service.kit.signatures import sign

SECRET_PURPOSE = "endpoint-secret"  # noqa: S105 - the name of a purpose, not a secret
HEADERS_PURPOSE = "endpoint-headers"
SIGNING_KEY_PURPOSE = "signing-key"
USER_AGENT = "VerdictRelay/1 (+webhooks)"


def webhook_headers(event_id: str, body: bytes, secrets: Sequence[str], now: datetime) -> dict[str, str]:
    """What every attempt of this event carries. The id stays the same; the time is this attempt's."""
    timestamp = int(now.timestamp())
    return {
        "content-type": "application/json",
        "user-agent": USER_AGENT,
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(sign(secret, event_id, timestamp, body) for secret in secrets),
    }


def open_secrets(sealer: Sealer, sealed: Sequence[tuple[str, bytes]]) -> list[str]:
    """The secrets in clear, in the order given: (id, sealed) pairs."""
    return [sealer.open(SECRET_PURPOSE, owner, box).decode() for owner, box in sealed]


def open_headers(sealer: Sealer, endpoint_id: str, sealed: bytes | None) -> dict[str, str]:
    """An endpoint's own headers in clear; empty where it has none."""
    if sealed is None:
        return {}
    headers: dict[str, str] = json.loads(sealer.open(HEADERS_PURPOSE, endpoint_id, sealed))
    return headers
