"""Why Modulate refused a request: by its HTTP status and, where one status means two things, by its words.

The words were changed in August 2026, so they only ever choose between two meanings of a status.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from service.detectors.answers import json_object, list_of, object_of, refusal, refused_audio, wants_money
from service.detectors.enums import ReasonCode, RunStatus
from service.detectors.port import Raw, Refused
from service.detectors.reading import Engine, Reading
from service.vendors.modulate.config import ENGINE

_FORBIDDEN, _UNPROCESSABLE, _TOO_MANY, _GATEWAY_TIMEOUT = 403, 422, 429, 504
_PAUSE_SECONDS: Final = 3
_SPENT = ("quota", "monthly", "usage limit", "limit reached", "limit exceeded", "limit has been")
_BUSY = ("concurren", "simultaneous", "rate limit", "too many")
_KEY = ("x-api-key", "api key", "api_key")
CONTENT: Final[Mapping[str, ReasonCode]] = {
    "does not match the declared audio format": ReasonCode.INVALID_FILE,
    "audio could not be processed": ReasonCode.INVALID_FILE,  # a request that could not be says nothing of the audio
    "file could not be processed": ReasonCode.INVALID_FILE,
    "corrupt": ReasonCode.INVALID_FILE,
    "unsupported file": ReasonCode.UNSUPPORTED_FORMAT,  # documented for a 400, but not in which words
    "unsupported audio": ReasonCode.UNSUPPORTED_FORMAT,
    "unsupported format": ReasonCode.UNSUPPORTED_FORMAT,
}
"""What is said of the audio, to an upload and in a stream alike; the first that fits."""


def refused(raw: Raw, hide: list[str]) -> Refused:
    """What an HTTP status other than 2xx means here. `hide` are secrets that must not be in its words."""
    found = refusal(raw, hide=hide)
    words = found.reason_text.lower()
    if raw.status == _GATEWAY_TIMEOUT:  # what takes longer than 60 s is given up
        return replace(found, reason_code=ReasonCode.VENDOR_TIMEOUT)
    if raw.status == _FORBIDDEN:
        return denied(found.reason_text)
    if raw.status == _UNPROCESSABLE and any(word in words + _places(raw) for word in _KEY):
        return replace(found, reason_code=ReasonCode.AUTH_FAILED)
    if raw.status == _TOO_MANY:
        return turned_away(found.reason_text, found.retry_after_seconds)
    return refused_audio(found, raw, CONTENT)


def declined(found: Refused) -> Reading | Refused:
    """Return audio that Modulate cannot read as what it is: content that it declines, and no failed request."""
    if found.reason_code is not ReasonCode.INVALID_FILE:
        return found
    code, text = found.reason_code, found.reason_text
    return Reading(status=RunStatus.NOT_APPLICABLE, engine=Engine(name=ENGINE), reason_code=code, reason_text=text)


def denied(text: str) -> Refused:
    """Not permitted: the model is not enabled for the key, or the month's allowance is used up."""
    code = ReasonCode.QUOTA_EXCEEDED if _is_spent(text) else ReasonCode.ACCESS_DENIED
    return Refused(code, text, retryable=False)


def turned_away(text: str, retry_after_seconds: int | None = None) -> Refused:
    """Too much was asked: credits that no waiting brings back, or more at a time than is allowed, which passes."""
    if _is_spent(text):
        return Refused(ReasonCode.QUOTA_EXCEEDED, text, retryable=False)
    wait = _PAUSE_SECONDS if retry_after_seconds is None else retry_after_seconds
    return Refused(ReasonCode.RATE_LIMITED, text, retryable=True, retry_after_seconds=wait)


def _is_spent(text: str) -> bool:
    words = text.lower()
    return wants_money(text) or (any(word in words for word in _SPENT) and not any(word in words for word in _BUSY))


def _places(raw: Raw) -> str:
    """Where the framework's validation found fault, e.g. `header x-api-key`."""
    entries: list[Any] = list_of((json_object(raw.body) or {}).get("detail"))
    return " ".join(str(part) for entry in entries for part in list_of(object_of(entry).get("loc"))).lower()
