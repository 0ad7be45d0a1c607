"""What in an answer speaks against any verdict in it: an error, a failure flag, a failing status, at any layer. Pure.

No vendor's own words are needed for that, so it holds for each of them. What a vendor documents is read by its adapter
first; what stands here is what an adapter may have passed over.
"""

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from service.detectors.answers import error_text, folded, json_object, reason, wants_money
from service.detectors.enums import ReasonCode
from service.detectors.port import Raw, Refused

# Names as they are compared: small letters and digits only, so `error_message` is `errorMessage`.
_ERRORS = re.compile(
    r"err(or)?s?(codes?|messages?|msg|reason|text|details?|description)?|exception|failure(reason|message)?"
)
"""Members that say what went wrong. Null, false, 0, a rate, and what holds nothing but these say that nothing did."""

_FLAGS = re.compile(r"(is)?(success(ful)?|succeeded|ok)")
"""Members that say whether it went well."""

_FAILED_FLAGS = re.compile(r"(is|has)?(failed|errors?)")
"""Members that say whether it went wrong. They may count failures elsewhere, so only `true` tells."""

_STATUSES = re.compile(r"(job|task|result)?(status|state|outcome|event|type)|(http)?(status)?code")
_FAILING = re.compile(
    r"fail(s|ed|ure)?|err(ors?|ored)|exception|crashed|timed?out|cancell?ed|aborted|rejected|refused|denied|invalid"
    r"|unsuccessful"
)
_HTTP_ERRORS = range(400, 600)
_NO = frozenset({"false", "no", "0"})
_NOTHING = frozenset({*_NO, "", "none", "null", "nil", "n/a", "ok", "success", "no error", "no errors", "no_error"})
_NEGATIONS = frozenset({"no", "without", "zero", "0"})
_SEPARATORS = re.compile(r"[^a-z0-9]+")


class Layer(NamedTuple):
    """A JSON object of an answer, and the names that lead to it."""

    path: tuple[str, ...]
    members: Mapping[str, Any]


def bodies_of(raw: Raw) -> list[Mapping[str, Any]]:
    """Return the answer's JSON object; or of a stream each message that is one."""
    whole = json_object(raw.body)
    if whole is not None:
        return [whole]
    return [found for line in raw.body.splitlines() if (found := json_object(line)) is not None]


def layers_of(bodies: Iterable[Mapping[str, Any]], apart: Collection[str] = ()) -> Iterator[Layer]:
    """Every JSON object in these, the outer ones first. Places in a list have no name.

    What stands in a member named in `apart` is left out, at any layer.
    """
    for body in bodies:
        yield from _layers(body, (), apart)


def objection(bodies: Sequence[Mapping[str, Any]], apart: Collection[str] = ()) -> str | None:
    """Return the vendor's words for why a verdict in its answer does not count; `None` if there are none.

    `apart` are the names of members in which nothing speaks of the answer, such as raw measurements.
    """
    for _, members in layers_of(bodies, apart):
        for name, value in members.items():
            if (found := _against(name, value, members)) is not None:
                return found
    return None


def stated_refusal(body: Mapping[str, Any], *, hide: Sequence[str], retryable: bool) -> Refused | None:
    """Return the refusal that a success carries in its body; `None` where nothing speaks against the success."""
    against = objection([body])
    return None if against is None else failure(reason(against, hide=hide), retryable=retryable)


def failure(text: str, *, retryable: bool) -> Refused:
    """Return a failure that the vendor told in these words; one for want of money is not tried again."""
    if wants_money(text):
        return Refused(ReasonCode.QUOTA_EXCEEDED, text, retryable=False)
    return Refused(ReasonCode.VENDOR_ERROR, text, retryable)


def _layers(value: object, path: tuple[str, ...], apart: Collection[str]) -> Iterator[Layer]:
    if isinstance(value, Mapping):
        yield Layer(path, value)
        for name, each in value.items():
            if name not in apart:
                yield from _layers(each, (*path, name), apart)
    elif isinstance(value, list):
        for each in value:
            yield from _layers(each, path, apart)


def _against(name: str, value: object, beside: Mapping[str, Any]) -> str | None:
    """Return what this member says against a verdict, in the vendor's words."""
    plain = _SEPARATORS.sub("", name.lower())
    if _ERRORS.fullmatch(plain) and _says_something(value):
        return _of_error(name, value, beside)
    denied = _FLAGS.fullmatch(plain) is not None and _denies(value)
    failed = _FAILED_FLAGS.fullmatch(plain) is not None and value is True
    if denied or failed or (_STATUSES.fullmatch(plain) and _fails(value)):
        return _with_words(name, value, beside)
    return None


def _of_error(name: str, value: object, beside: Mapping[str, Any]) -> str:
    """Return the error's own words, and those beside it."""
    own, parsed = error_text({"error": value}) or _shown(name, value), error_text(beside) or ""
    return parsed if own in parsed else f"{own}: {parsed}" if parsed else own


def _with_words(name: str, value: object, beside: Mapping[str, Any]) -> str:
    parsed = error_text(beside)
    return f"{parsed} ({_shown(name, value)})" if parsed else _shown(name, value)


def _shown(name: str, value: object) -> str:
    return f"{name}: {value if isinstance(value, str) else json.dumps(value)}"


def _says_something(value: object) -> bool:
    """Return True if the value of an error's member tells of one. A number with a fraction is a rate, and no error."""
    if isinstance(value, str):
        return folded(value) not in _NOTHING
    if isinstance(value, Mapping):
        return any(_says_something(each) for each in value.values())
    if isinstance(value, list):
        return any(_says_something(each) for each in value)
    return bool(value) and not isinstance(value, float)


def _denies(value: object) -> bool:
    if isinstance(value, str):
        return folded(value) in _NO
    return value is not None and isinstance(value, int | float) and not value


def _fails(value: object) -> bool:
    """Return True for a failing status: an HTTP error's number, or words with one for failure."""
    if isinstance(value, str):
        if value.strip().isdecimal():
            return value.strip() in map(str, _HTTP_ERRORS)
        words = [word for word in _SEPARATORS.split(folded(value)) if word not in ("", "any")]
        told = (word for before, word in pairwise(["", *words]) if before not in _NEGATIONS)
        return any(_FAILING.fullmatch(word) for word in (*told, "".join(words)))
    return isinstance(value, int) and not isinstance(value, bool) and value in _HTTP_ERRORS
