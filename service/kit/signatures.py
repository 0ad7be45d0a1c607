"""Signing as Standard Webhooks 1.0 says (`v1`: HMAC-SHA256 over `id.timestamp.body`, base64)."""

import base64
import hmac
import secrets

PREFIX = "whsec_"


def new_secret() -> str:
    """A fresh symmetric secret: `whsec_` and 32 random bytes in base64."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """`v1,<base64>` for these very bytes. `secret` is `whsec_…`; `timestamp` is in Unix seconds."""
    key = base64.b64decode(secret.removeprefix(PREFIX))
    digest = hmac.digest(key, f"{message_id}.{timestamp}.".encode() + body, "sha256")
    return "v1," + base64.b64encode(digest).decode()
