"""Signed records that serve as a twin's ids, so that any process can answer for any of them.

Not here: what the ids look like to a client, nor what is answered.
"""

import base64
import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

_MAC_BYTES: Final = 16  # RFC 2104 section 5: no less than half of the hash
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Record:
    """One upload or submission: all a twin has to remember of it."""

    kind: str
    """Which sort of id this is; an upload's is no use as a task's."""
    name: str
    """The file name, with its script words."""
    at: datetime
    """When it began, in whole milliseconds once sealed."""
    tier: str = ""
    callback_url: str | None = None
    trouble: str = ""
    """Why it is going to fail, if something was wrong from the start."""
    nonce: str = field(default_factory=lambda: secrets.token_hex(4))
    """Keeps two submissions of one millisecond apart."""


class Records:
    """Turns records into ids and back."""

    def __init__(self, secret: str) -> None:
        self._key = hashlib.sha256(b"sandbox records:" + secret.encode()).digest()

    def seal(self, record: Record) -> str:
        """The record as a signed id of letters, digits, `-` and `_`."""
        started = (record.at - _EPOCH) // timedelta(milliseconds=1)
        members = [
            record.kind,
            record.name,
            started,
            record.tier,
            record.callback_url,
            record.trouble,
            record.nonce,
        ]
        payload = json.dumps(members, separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(self._mac(payload) + payload).decode().rstrip("=")

    def open(self, text: str, kind: str) -> Record | None:
        """The record behind an id of this kind; None if we never signed such an id."""
        blob = _decoded(text)
        if blob is None:
            return None
        mac, payload = blob[:_MAC_BYTES], blob[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(payload)):
            return None
        found, name, started, tier, callback_url, trouble, nonce = json.loads(payload)
        at = _EPOCH + timedelta(milliseconds=started)
        return Record(found, name, at, tier, callback_url, trouble, nonce) if found == kind else None

    def _mac(self, payload: bytes) -> bytes:
        return hmac.new(self._key, payload, hashlib.sha256).digest()[:_MAC_BYTES]


def _decoded(text: str) -> bytes | None:
    """The bytes behind a base64url text; None unless it is the one spelling of them."""
    try:
        blob = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except ValueError:
        return None
    return blob if base64.urlsafe_b64encode(blob).decode().rstrip("=") == text else None
