"""What any vendor's answer means before a vendor's own words are looked at. Pure, and raises nothing.

Here: HTTP refusals, strict JSON, and careful picking of values. Not here: verdicts, which are the adapters'.
"""

import json
import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, tzinfo
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from service.detectors.enums import ReasonCode
from service.detectors.port import Raw, Refused
from service.detectors.reading import Number
from service.kit.strict_json import MAX_DEPTH, decode

UNKNOWN_STATUS = "The vendor named a status that its documents do not."

_TEXT_CHARACTERS = 500
_DAY_SECONDS = 24 * 3600
_BAD = (400, 422)
_PAYMENT_REQUIRED, _FORBIDDEN, _TOO_MANY_REQUESTS = 402, 403, 429
# Control characters, line separators, and the marks that turn the direction of text.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]+")
# PostgreSQL stores no NUL, and no encoder writes half a surrogate pair.
_UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")
_NO_LETTERS = re.compile(r"[^a-z]+")
_MONEY = re.compile(r"\b(?:credits?|balance|payments?|billing|prepaid|unpaid|funds)\b")
_BUSY = re.compile(r"concurren|simultaneous|rate limit|too many")
_LACKING = re.compile(r"\b(?:insufficient|not enough|out of|exhausted|depleted|used up)\b")

_REASONS: Mapping[int, ReasonCode] = {
    400: ReasonCode.BAD_REQUEST,
    401: ReasonCode.AUTH_FAILED,
    _PAYMENT_REQUIRED: ReasonCode.QUOTA_EXCEEDED,
    _FORBIDDEN: ReasonCode.ACCESS_DENIED,
    413: ReasonCode.FILE_TOO_LARGE,
    415: ReasonCode.UNSUPPORTED_FORMAT,
    422: ReasonCode.BAD_REQUEST,
    _TOO_MANY_REQUESTS: ReasonCode.RATE_LIMITED,
}


def refusal(raw: Raw, *, text: str | None = None, hide: Sequence[str] = ()) -> Refused:
    """Why the request was refused, by its HTTP status (RFC 9110 §15).

    `text` replaces the vendor's own words. `hide` are secrets that must not appear in them. A 404 means
    different things at different vendors and is theirs to judge first; here it is a `vendor_error`.
    """
    words = reason(text or error_text(json_object(raw.body)) or f"HTTP {raw.status}", hide=hide)
    if raw.status in (_FORBIDDEN, _TOO_MANY_REQUESTS) and wants_money(words):
        return Refused(ReasonCode.QUOTA_EXCEEDED, words, retryable=False)
    code = _REASONS.get(raw.status, ReasonCode.VENDOR_ERROR)
    retryable = raw.status == _TOO_MANY_REQUESTS or 500 <= raw.status <= 599  # noqa: PLR2004 - the 5xx class
    return Refused(code, words, retryable, retry_after_seconds(raw) if retryable else None)


def wants_money(text: str) -> bool:
    """Return True if the vendor's words say that it takes nothing more before it is paid.

    Words of money beside words of haste ("too many requests, buy credits for more") speak of haste, unless they say
    that something is used up.
    """
    words = _NO_LETTERS.sub(" ", text.lower())
    return bool(_MONEY.search(words)) and bool(_LACKING.search(words) or not _BUSY.search(words))


def code_by_words(text: str, table: Mapping[str, ReasonCode]) -> ReasonCode | None:
    """Return the reason whose phrase is in the vendor's words, the first of `table` that is; or `None`.

    Phrases are in small letters, with one blank between words: so `a_b`, `A b` and `a: b` are the same.
    """
    words = _NO_LETTERS.sub(" ", text.lower())
    return next((code for phrase, code in table.items() if phrase in words), None)


def refused_audio(found: Refused, raw: Raw, table: Mapping[str, ReasonCode]) -> Refused:
    """Return the refusal, of the audio where its words say so by `table` and its status says no more than "bad"."""
    code = code_by_words(found.reason_text, table) if raw.status in _BAD else None
    return found if code is None else replace(found, reason_code=code)


def mismatch(text: str, *, retryable: bool) -> Refused:
    """Return the refusal of an answer whose shape is not the documented one."""
    return Refused(ReasonCode.SCHEMA_MISMATCH, reason(text), retryable)


def is_success(raw: Raw) -> bool:
    """Return True if the status is one of the 2xx."""
    return 200 <= raw.status <= 299  # noqa: PLR2004 - the 2xx class


def retry_after_seconds(raw: Raw) -> int | None:
    """Return the wait the vendor asks for, 0 to 86,400 s, or `None` (RFC 9110 §10.2.3: seconds or a date)."""
    value = raw.headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,18}", value):
        return min(int(value), _DAY_SECONDS)
    try:
        at = parsedate_to_datetime(value)
        wait = (at if at.tzinfo else at.replace(tzinfo=UTC)) - raw.received_at
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return min(max(math.ceil(wait.total_seconds()), 0), _DAY_SECONDS)


def reason(text: str, *, hide: Sequence[str] = ()) -> str:
    """Return `text` fit to be shown: one line, no control characters, no secret of ours, at most 500 characters."""
    shown = _CONTROLS.sub(" ", text)
    for secret in filter(None, hide):
        shown = shown.replace(secret, "[key]")
    return _UNSTORABLE.sub("\ufffd", shown).strip()[:_TEXT_CHARACTERS]


def unknown_status(extras: Mapping[str, Any]) -> str | None:
    """Return the vendor's word for its progress, fit to be shown, where a reading noted it as unknown."""
    if "unknown_status" not in extras:
        return None
    word = extras["unknown_status"]
    return reason(word if isinstance(word, str) else json.dumps(word)) or "(none)"


def error_text(body: Mapping[str, Any] | None) -> str | None:
    """Return the words of an error envelope, e.g. `unauthorized: Invalid or expired API key`, or `None`.

    Known: `{error: {code, message}}` (AIPPIM), `{error, message, status}` (ASC), `{status, message}` (Pex),
    `{detail: text or [{msg}]}` (Modulate).
    """
    if body is None:
        return None
    error, detail = body.get("error"), body.get("detail")
    nested = error if isinstance(error, Mapping) else {}
    parts = [error, nested.get("code"), nested.get("message"), body.get("message"), detail]
    if isinstance(detail, list):
        parts += [entry.get("msg") for entry in detail if isinstance(entry, Mapping)]
    return ": ".join(part for part in parts if isinstance(part, str) and part) or None


def json_object(body: bytes) -> dict[str, Any] | None:
    """Return the JSON object in `body`, or `None` if there is not exactly one clear and storable meaning.

    Refused: other JSON, doubled keys, `NaN` and infinities, nesting beyond 64 levels.
    """
    try:
        # As `json.loads` does it: UTF-8 or another Unicode encoding, with a mark at its beginning or without.
        value = decode(body.decode(json.detect_encoding(body), "surrogatepass"))
        clean = _clean(value, MAX_DEPTH)
    except (ValueError, RecursionError):
        return None
    return clean if isinstance(clean, dict) else None


def text_of(value: object) -> str | None:
    """Return `value` if it is a text with something in it."""
    return value if isinstance(value, str) and value else None


def name_of(value: object) -> str | None:
    """Return `value` as a reference: a text, or a whole number written as one. References are always strings."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return text_of(value)


def number_of(value: object, low: float = -math.inf, high: float = math.inf) -> Number | None:
    """Return `value`, untouched, if it is a number from `low` to `high`."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if low <= value <= high else None


def object_of(value: object) -> Mapping[str, Any]:
    """Return `value` if it is a JSON object, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def list_of(value: object) -> list[Any]:
    """Return `value` if it is a JSON list, else an empty one."""
    return value if isinstance(value, list) else []


def time_of(value: object, *, zoneless: tzinfo | None = None) -> datetime | None:
    """Return an ISO 8601 date and time as aware UTC. One without a zone is taken in `zoneless`, or refused."""
    if not isinstance(value, str) or "T" not in value:
        return None
    try:
        at = datetime.fromisoformat(value)
        at = at.replace(tzinfo=zoneless) if at.tzinfo is None else at
        return at.astimezone(UTC) if at.tzinfo else None
    except (ValueError, OverflowError):
        return None


def unused(
    found: Mapping[str, Any], names: Iterable[str], read: Callable[[Any], object | None], prefix: str = ""
) -> dict[str, Any]:
    """Return the members among `names` that `read` cannot use, by dotted path; null and empty texts are left out."""
    given = {name: found[name] for name in names if found.get(name) not in (None, "")}
    return {f"{prefix}{name}": value for name, value in given.items() if read(value) is None}


def leftovers(found: Mapping[str, Any], known: Collection[str], prefix: str = "") -> dict[str, Any]:
    """Return the fields of `found` that have no home yet, by dotted path."""
    return {f"{prefix}{key}": value for key, value in found.items() if key not in known}


def _clean(value: object, depth: int) -> object:
    if depth == 0:
        raise ValueError("nested too deeply")
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_clean(entry, depth - 1) for entry in value]
    if isinstance(value, dict):
        return {_UNSTORABLE.sub("\ufffd", key): _clean(entry, depth - 1) for key, entry in value.items()}
    return value


Meaning = TypeVar("Meaning")


def folded(word: str) -> str:
    """`word` in small letters, without blanks around it. Letters outside ASCII stay: none of them is a vendor's."""
    bare = word.strip()
    return bare.lower() if bare.isascii() else bare


def meaning_of(word: object, table: Mapping[str, Meaning]) -> Meaning | None:
    """Return what `table` says of this word of a vendor's; `None` for an unknown word, and for what is not a text.

    The words in `table` are in small letters.
    """
    return table.get(folded(word)) if isinstance(word, str) else None
