"""Sealed records that serve as a twin's ids, so that any process can answer for any; and submissions made of them.

They hold a callback address with its token and the audio's name, and an id is kept and shown for as long as a result.
So they are encrypted, not only signed; by AES-SIV (RFC 5297), because the same record is the same id.
Not here: what is answered.
"""

import base64
import hashlib
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from service.kit.clock import seconds
from service.sandbox.script import Phase, Script

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Record:
    """One upload or submission: all a twin has to remember of it."""

    kind: str
    """Which sort of id this is; an upload's does not serve as a task's."""
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
        self._cipher = AESSIV(hashlib.sha256(b"sandbox records:" + secret.encode()).digest())

    def seal(self, record: Record) -> str:
        """Return the record as an id of letters, digits, `-` and `_` that tells nothing of it."""
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
        return base64.urlsafe_b64encode(self._cipher.encrypt(payload, None)).decode().rstrip("=")

    def open(self, text: str, kind: str) -> Record | None:
        """Return the record behind an id of this kind; None if we never made such an id."""
        blob = _decoded(text)
        if blob is None:
            return None
        try:
            payload = self._cipher.decrypt(blob, None)
        except (InvalidTag, ValueError):  # ValueError: it is too short to be one
            return None
        found, name, started, tier, callback_url, trouble, nonce = json.loads(payload)
        at = _EPOCH + timedelta(milliseconds=started)
        return Record(found, name, at, tier, callback_url, trouble, nonce) if found == kind else None


def _decoded(text: str) -> bytes | None:
    """Return the bytes behind a base64url text; None unless it is the one spelling of them."""
    try:
        blob = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except ValueError:
        return None
    return blob if base64.urlsafe_b64encode(blob).decode().rstrip("=") == text else None


@dataclass(frozen=True)
class Submission:
    """What a vendor calls a task or a job."""

    id: str
    record: Record
    latency_seconds: float

    @property
    def script(self) -> Script:
        """The behaviour of the twin towards it."""
        return Script.of(self.record.name)

    @property
    def working_at(self) -> datetime:
        """When the work starts to be reported."""
        return self.record.at + seconds(self.script.working_after_seconds(self.latency_seconds))

    @property
    def done_at(self) -> datetime:
        """When the answer is there."""
        return self.record.at + seconds(self.script.done_after_seconds(self.latency_seconds))

    @property
    def called_back_at(self) -> datetime:
        """When the terminal callback is due."""
        return self.record.at + seconds(self.script.called_back_after_seconds(self.latency_seconds))

    def phase(self, now: datetime) -> Phase:
        """Return the stage of the work."""
        return self.script.phase((now - self.record.at).total_seconds(), self.latency_seconds)


class Submissions:
    """Gives out one vendor's ids, and knows its own again in any process.

    An id is `head(record)`, which holds as many underscores as there are `joints`, and then the sealed record.
    """

    def __init__(
        self,
        records: Records,
        latency_seconds: float,
        kind: str,
        head: Callable[[Record], str],
        joints: int,
    ) -> None:
        self._records = records
        self._latency_seconds = latency_seconds
        self._kind = kind
        self._head = head
        self._joints = joints

    def begin(
        self,
        name: str,
        now: datetime,
        *,
        tier: str = "",
        callback_url: str | None = None,
        trouble: str = "",
    ) -> Submission:
        """Return a submission that starts now; it will fail if `trouble` says why."""
        # As the record will keep it: the process that took it must not know the time better than the others.
        at = now - timedelta(microseconds=now.microsecond % 1000)
        record = Record(self._kind, name, at, tier, callback_url, trouble)
        return Submission(self._head(record) + self._records.seal(record), record, self._latency_seconds)

    def find(self, text: str) -> Submission | None:
        """Return the submission of this id; None if we never gave it out."""
        sealed = text.split("_", self._joints)[-1]
        record = self._records.open(sealed, self._kind)
        if record is None or text != self._head(record) + sealed:
            return None
        return Submission(text, record, self._latency_seconds)
