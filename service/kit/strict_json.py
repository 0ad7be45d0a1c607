"""Strict JSON (RFC 8259): what two parsers could read differently, and what Python adds to the standard, is refused.

There are two readers: `api/bodies` names every fault of a customer's body, `detectors/answers` takes a vendor's answer
or leaves it. Both set their own limits of depth and of text.
"""

import json
from typing import Any, NoReturn

MAX_DEPTH = 64


class NotStrictError(ValueError):
    """JSON that Python's parser would have let through; the text says why, in words for the sender."""


def decode(text: str) -> Any:
    """Return the value of `text`. Raise `ValueError` or `RecursionError` if it is not JSON, or not strict."""
    return _DECODER.decode(text)


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise NotStrictError("a name occurs twice in one object")
    return members


def _refuse_constant(_word: str) -> NoReturn:
    raise NotStrictError("NaN and Infinity are not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise NotStrictError("a number is too large")
    return number


# `json.loads` would make one for each text.
_DECODER = json.JSONDecoder(object_pairs_hook=_members, parse_constant=_refuse_constant, parse_float=_finite)
