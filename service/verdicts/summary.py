"""The short form of a result, for webhooks and lists: small enough for an event whatever a vendor wrote.

An event's body stays under 20 kB. What is cut ends in an ellipsis and stands uncut behind `links.full`.
"""

import json
from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

SUMMARY_BYTES = 18_000
"""Bytes of the summary as JSON, at most; the rest of 20,000 is for the event around it."""

_LEFT_OUT = frozenset({"segments", "sub_models", "raw", "raw_events", "extras", "next_look_at", "deadline_at"})
_WORDY = ("attribution", "conflicts")  # besides the detectors, where outside words stand
_WORDY_FIELDS = {"track": "filename", "review": "note"}  # here in one field only; hashes stay whole
_OPEN_MAPS = frozenset({"components", "other"})  # mappings whose keys a vendor chooses


@dataclass(frozen=True, slots=True)
class _Clip:
    """The bounds of a vendor's words in a summary: the length of a text, entries of a list, the length of a reason.

    Lengths are characters, or bytes as escaped in JSON where `escaped`: one character can take twelve.
    """

    text: int
    items: int
    reason: int
    escaped: bool = True


_CLIPS = (
    _Clip(500, 20, 200, escaped=False),
    _Clip(400, 12, 150),
    _Clip(200, 8, 100),
    _Clip(100, 4, 80),
    _Clip(60, 2, 60),
    _Clip(40, 1, 40),
)


def summary(full: dict[str, Any]) -> dict[str, Any]:
    """Return `full` without the long fields, shortened as much as its size needs. `full` is left as it was.

    Of a result only `detectors` must be there, so one run's part can be shortened alone.
    """
    for clip in _CLIPS:
        short = _shorten(full, clip)
        if _size(short) <= SUMMARY_BYTES:
            break
    return short


def _shorten(full: dict[str, Any], clip: _Clip) -> dict[str, Any]:
    short = {**full, **{name: _clipped(full[name], clip) for name in _WORDY if name in full}}
    for name, field in _WORDY_FIELDS.items():
        if name in full:
            short[name] = {**full[name], field: _clipped(full[name][field], clip)}
    return {**short, "detectors": [_detector(entry, clip) for entry in full["detectors"]]}


def _detector(entry: dict[str, Any], clip: _Clip) -> dict[str, Any]:
    kept = {name: value for name, value in entry.items() if name not in _LEFT_OUT}
    reasons = [_text(reason, clip.reason, clip) for reason in kept["reasons"][: clip.items]]
    return {**_clipped(kept, clip), "reasons": reasons}


def _clipped(value: Any, clip: _Clip) -> Any:
    if isinstance(value, str):
        return _text(value, clip.text, clip)
    if isinstance(value, list):
        return [_clipped(item, clip) for item in value[: clip.items]]
    if isinstance(value, dict):
        return {name: _clipped(_fewer(name, item, clip), clip) for name, item in value.items()}
    return value


def _fewer(name: str, value: Any, clip: _Clip) -> Any:
    """Return the first entries of a mapping whose keys a vendor chose; anything else as it is."""
    if name not in _OPEN_MAPS or not isinstance(value, dict):
        return value
    return {_text(key, clip.text, clip): item for key, item in list(value.items())[: clip.items]}


def _text(text: str, limit: int, clip: _Clip) -> str:
    """Return `text`, or its beginning with an ellipsis, no longer than `limit`."""
    if not clip.escaped:
        return text if len(text) <= limit else text[: limit - 1] + "…"
    # No text is shorter escaped, so what lies beyond `limit` characters need not be measured.
    ends = list(accumulate(_escaped(letter) for letter in text[: limit + 1]))
    if not ends or ends[-1] <= limit:
        return text
    return text[: bisect_right(ends, limit - _escaped("…"))] + "…"


def _escaped(letter: str) -> int:
    return len(json.dumps(letter)) - 2


def _size(value: dict[str, Any]) -> int:
    """Return the length as ASCII JSON with spaces: at least that of a compact encoder's output."""
    return len(json.dumps(value))
