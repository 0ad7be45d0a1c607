"""The sender and the task of a callback. Source: https://docs.mippia.com/guides/webhooks.html.

The vendor signs `{timestamp}:{task_id}` and nothing else: a valid signature says nothing about the status or the
verdict beside it. The older scheme, one header over the raw body, ended on 2025-12-15 and is not accepted.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from datetime import datetime

from service.detectors.answers import text_of
from service.detectors.enums import Authenticity
from service.detectors.port import CallbackRefs

_WINDOW_SECONDS = 300
_CHALLENGE_CHARACTERS = 1000
_TIMESTAMP = re.compile(r"[1-9][0-9]{0,11}")
_DIGEST = re.compile(r"[0-9a-fA-F]{64}")


def verify(
    headers: Mapping[str, str], body: Mapping[str, object], secrets: Sequence[str], now: datetime
) -> Authenticity | None:
    """`PARTIAL_HMAC` if one of `secrets` signed the task's id within 300 s of `now`; else `None`.

    The documented verifier needs a `task_id`; where a body has only the quick start's `taskId`, that is taken.
    """
    timestamp = headers.get("x-mippia-timestamp", "")
    signature = headers.get("x-mippia-signature", "")
    named = refs(body)
    if named is None or named.job_id is None:
        return None
    if not _TIMESTAMP.fullmatch(timestamp) or not _DIGEST.fullmatch(signature):
        return None
    if abs(now.timestamp() - int(timestamp)) > _WINDOW_SECONDS:
        return None
    # Half a surrogate pair has no UTF-8; such an id was never signed, and must not stop us.
    signed = f"{timestamp}:{named.job_id}".encode(errors="replace")
    claimed = bytes.fromhex(signature)
    matches = [hmac.compare_digest(_mac(secret, signed), claimed) for secret in secrets if secret]
    return Authenticity.PARTIAL_HMAC if any(matches) else None


def challenge(body: Mapping[str, object]) -> dict[str, object] | None:
    """`{"challenge": …}` for the address check of the vendor's dashboard, which is not signed; else `None`."""
    code = body.get("challenge")
    if body.get("type") != "url_verification" or not isinstance(code, str):
        return None
    return {"challenge": code} if len(code) <= _CHALLENGE_CHARACTERS and _encodable(code) else None


def refs(body: Mapping[str, object]) -> CallbackRefs | None:
    """Return the task's id under either spelling; `None` if the two spellings name different tasks."""
    named = [body[key] for key in ("task_id", "taskId") if body.get(key) is not None]
    if any(name != named[0] for name in named):
        return None
    return CallbackRefs(text_of(named[0]) if named else None)


def _mac(secret: str, signed: bytes) -> bytes:
    return hmac.digest(secret.encode(), signed, hashlib.sha256)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
