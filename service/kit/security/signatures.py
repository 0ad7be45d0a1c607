"""Signing as Standard Webhooks 1.0 says (`v1`: HMAC-SHA256 over `id.timestamp.body`, base64)."""

import base64
import hmac
import secrets

PREFIX = "whsec_"


def new_secret() -> str:
    """A fresh symmetric secret: `whsec_` and 32 random bytes in base64."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def key_of(secret: str) -> bytes:
    """The bytes that sign: what `whsec_…` stands for."""
    return base64.b64decode(secret.removeprefix(PREFIX))


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """`v1,<base64>` for these very bytes. `secret` is `whsec_…`; `timestamp` is in Unix seconds."""
    return sign_with(key_of(secret), message_id, timestamp, body)


def sign_with(key: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """The same with the key itself, for one who signs often."""
    digest = hmac.digest(key, f"{message_id}.{timestamp}.".encode() + body, "sha256")
    return "v1," + base64.b64encode(digest).decode()
