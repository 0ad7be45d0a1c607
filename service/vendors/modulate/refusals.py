"""Why Modulate gave no verdict: refused requests and streams that ended early.

A request: by its HTTP status and, where one status means two things, by its words. They were changed in August 2026,
so they only ever choose between two meanings of a status. A stream: by a close code of the vendor's own first, then by
its words, then by the other codes (the AsyncAPI description, docs.modulate.ai: authentication, troubleshooting, and
RFC 6455 §7.4.1).
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from service.detectors.answers import (
    code_by_words,
    json_object,
    list_of,
    object_of,
    reason,
    refusal,
    refused_audio,
    wants_money,
)
from service.detectors.enums import ReasonCode, RunStatus
from service.detectors.port import Raw, Refused
from service.detectors.reading import Engine, Reading
from service.vendors.modulate.settings import ENGINE

NO_STATUS: Final = 1005
"""The peer closed and gave no code."""
ABNORMAL: Final = 1006
"""The connection went away without a word."""

_BAD_QUERY, _FAULT, _UNKNOWN_KEY, _UNDECODABLE, _DENIED, _TOO_MUCH = 1003, 1011, 4001, 4002, 4003, 4029
_PRIVATE = range(4000, 5000)
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
    """Return what an HTTP status other than 2xx means here. `hide` are secrets that must not be in its words."""
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
    """Return the refusal: the model is not enabled for the key, or the month's allowance is used up."""
    code = ReasonCode.QUOTA_EXCEEDED if _is_spent(text) else ReasonCode.ACCESS_DENIED
    return Refused(code, text, retryable=False)


def turned_away(text: str, retry_after_seconds: int | None = None) -> Refused:
    """Return the refusal of too much: credits that no waiting brings back, or too many at a time, which passes."""
    if _is_spent(text):
        return Refused(ReasonCode.QUOTA_EXCEEDED, text, retryable=False)
    wait = _PAUSE_SECONDS if retry_after_seconds is None else retry_after_seconds
    return Refused(ReasonCode.RATE_LIMITED, text, retryable=True, retry_after_seconds=wait)


def _is_spent(text: str) -> bool:
    words = text.lower()
    return wants_money(text) or (any(word in words for word in _SPENT) and not any(word in words for word in _BUSY))


def _places(raw: Raw) -> str:
    """Return the paths where the framework's validation found a fault, e.g. `header x-api-key`."""
    entries: list[Any] = list_of((json_object(raw.body) or {}).get("detail"))
    return " ".join(str(part) for entry in entries for part in list_of(object_of(entry).get("loc"))).lower()


def _of(code: ReasonCode, *, retryable: bool = False) -> Callable[[str], Refused]:
    return lambda text: Refused(code, text, retryable)


def _not_permitted(text: str) -> Refused:
    """Return the refusal; the same code is used when the key could not be checked just now."""
    if "try again" in text.lower():
        return Refused(ReasonCode.VENDOR_ERROR, text, retryable=True)
    return denied(text)


_MEANINGS: Mapping[int, Callable[[str], Refused]] = {
    _BAD_QUERY: _of(ReasonCode.BAD_REQUEST),
    _FAULT: _of(ReasonCode.VENDOR_ERROR, retryable=True),
    _UNKNOWN_KEY: _of(ReasonCode.AUTH_FAILED),
    _UNDECODABLE: _of(ReasonCode.INVALID_FILE),
    _DENIED: _not_permitted,
    _TOO_MUCH: turned_away,
}
# Where the code is lost, the documented words stand for it.
_SAID_WITH: tuple[tuple[str, int], ...] = (
    ("audio_format", _BAD_QUERY),
    ("sample_rate", _BAD_QUERY),
    ("num_channels", _BAD_QUERY),
    ("insufficient credits", _TOO_MUCH),
    ("not permitted", _DENIED),
)


def is_refusal(code: int) -> bool:
    """Return True if the close code alone says that, and roughly why, there will be no verdict."""
    return code in _MEANINGS or code in _PRIVATE


def turns_away(code: int) -> bool:
    """Return True for a close code of the vendor's own. All of them refuse, so earlier messages do not count."""
    return code in _PRIVATE


def closed(code: int, text: str | None, hide: list[str]) -> Refused:
    """Return the meaning of a stream that ended with `code`, after an `error` with `text` or after none."""
    words = reason(text or "", hide=hide) or f"the vendor closed the stream with {code}"
    if code in _PRIVATE and code not in _MEANINGS:  # 4004, 4030, 4031 exist, undocumented
        return Refused(ReasonCode.VENDOR_ERROR, reason(f"closed with {code}: {words}"), retryable=False)
    if code not in _PRIVATE and (of_audio := code_by_words(words, CONTENT)) is not None:
        return Refused(of_audio, words, retryable=False)
    if code not in _MEANINGS:
        code = next((known for parsed, known in _SAID_WITH if parsed in words.lower()), _FAULT)
    return _MEANINGS[code](words)
