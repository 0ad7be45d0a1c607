"""The headers of an attempt: Standard Webhooks 1.0, one signature for each valid secret."""

import json
from collections.abc import Sequence
from datetime import datetime

from service.kit.security.sealing import Sealer
from service.kit.security.signatures import key_of, sign_with

SECRET_PURPOSE = "endpoint-secret"  # noqa: S105 - the name of a purpose, not a secret
HEADERS_PURPOSE = "endpoint-headers"
SIGNING_KEY_PURPOSE = "signing-key"
USER_AGENT = "VerdictRelay/1 (+webhooks)"


FIXED_HEADERS = {"content-type": "application/json", "user-agent": USER_AGENT}
"""The headers that every webhook carries, whatever its endpoint."""


def webhook_headers(event_id: str, body: bytes, secrets: Sequence[str], now: datetime) -> dict[str, str]:
    """Return the headers of an attempt at this event."""
    return FIXED_HEADERS | own_headers(event_id, body, [key_of(secret) for secret in secrets], now)


def own_headers(event_id: str, body: bytes, keys: Sequence[bytes], now: datetime) -> dict[str, str]:
    """Return those headers that are this attempt's own. The id stays the same; the time is this attempt's."""
    timestamp = int(now.timestamp())
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join([sign_with(key, event_id, timestamp, body) for key in keys]),
    }


def open_secrets(sealer: Sealer, sealed: Sequence[tuple[str, bytes]]) -> list[str]:
    """Open (id, sealed) pairs; return the secrets in clear, in the order given."""
    return [sealer.open(SECRET_PURPOSE, owner, box).decode() for owner, box in sealed]


def open_headers(sealer: Sealer, endpoint_id: str, sealed: bytes | None) -> dict[str, str]:
    """Return an endpoint's own headers in clear; empty if it has none."""
    if sealed is None:
        return {}
    headers: dict[str, str] = json.loads(sealer.open(HEADERS_PURPOSE, endpoint_id, sealed))
    return headers
