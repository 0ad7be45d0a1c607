"""Why a stream ended without a verdict: by a close code of the vendor's own first, then by its words, then by the rest.

Codes: the AsyncAPI description, docs.modulate.ai (authentication, troubleshooting), RFC 6455 §7.4.1.
"""

from collections.abc import Callable, Mapping
from typing import Final

from service.detectors.answers import code_by_words, reason
from service.detectors.enums import ReasonCode
from service.detectors.port import Refused
from service.vendors.modulate.refusals import CONTENT, denied, turned_away

NO_STATUS: Final = 1005
"""The peer closed and gave no code."""
ABNORMAL: Final = 1006
"""The connection went away without a word."""

_BAD_QUERY, _FAULT, _UNKNOWN_KEY, _UNDECODABLE, _DENIED, _TOO_MUCH = 1003, 1011, 4001, 4002, 4003, 4029
_PRIVATE = range(4000, 5000)


def _of(code: ReasonCode, *, retryable: bool = False) -> Callable[[str], Refused]:
    return lambda text: Refused(code, text, retryable)


def _not_permitted(text: str) -> Refused:
    """The same code is used when the key could not be checked just now."""
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
    """Whether the close code alone says that, and roughly why, there will be no verdict."""
    return code in _MEANINGS or code in _PRIVATE


def turns_away(code: int) -> bool:
    """Whether the vendor closed with a code of its own. All of them refuse, so nothing said before counts."""
    return code in _PRIVATE


def closed(code: int, text: str | None, hide: list[str]) -> Refused:
    """What it means that the stream ended with `code`, after an `error` that said `text` or after none."""
    words = reason(text or "", hide=hide) or f"the vendor closed the stream with {code}"
    if code in _PRIVATE and code not in _MEANINGS:  # 4004, 4030, 4031 exist, and nobody says what they are
        return Refused(ReasonCode.VENDOR_ERROR, reason(f"closed with {code}: {words}"), retryable=False)
    if code not in _PRIVATE and (of_audio := code_by_words(words, CONTENT)) is not None:
        return Refused(of_audio, words, retryable=False)
    if code not in _MEANINGS:
        code = next((known for parsed, known in _SAID_WITH if parsed in words.lower()), _FAULT)
    return _MEANINGS[code](words)
