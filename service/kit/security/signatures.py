"""Signing as Standard Webhooks 1.0 says (`v1`: HMAC-SHA256 over `id.timestamp.body`, base64)."""

import base64
import hmac
import secrets

PREFIX = "whsec_"


def new_secret() -> str:
    """Make a symmetric secret: `whsec_` and 32 random bytes in base64."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def key_of(secret: str) -> bytes:
    """Return the bytes that sign, which `whsec_…` encodes."""
    return base64.b64decode(secret.removeprefix(PREFIX))


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """Return `v1,<base64>` for these bytes. `secret` is `whsec_…`; `timestamp` is in Unix seconds."""
    return sign_with(key_of(secret), message_id, timestamp, body)


def sign_with(key: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """Do the same with the key itself, for callers that sign often."""
    digest = hmac.digest(key, f"{message_id}.{timestamp}.".encode() + body, "sha256")
    return "v1," + base64.b64encode(digest).decode()
