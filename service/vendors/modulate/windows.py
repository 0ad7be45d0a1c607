"""A window of the audio in our words, in the shape of the documents or in the newer one.

Old: the one path that was taken has a number, the other is documented as 0. New (August 2026): each path has a
probability and a confidence, and `null` where there was nothing to judge, which is not the same as 0.
"""

from collections.abc import Mapping
from typing import Any, Final

from service.detectors.answers import leftovers, number_of
from service.detectors.enums import Verdict
from service.detectors.reading import Number, Segment

PATHS: Final[Mapping[str, str]] = {"vocal": "vocals", "instrumental": "instrumental"}
"""The vendor's two detection paths, and our names for what they listen to."""

LONGEST_MS: Final = 2**31 - 1
PERCENT = (0.0, 100.0)
SHARE = (0.0, 1.0)
MEASURES: Final[Mapping[str, tuple[float, float]]] = {
    "vocal_percentage": PERCENT,
    "vocal_ai_percentage": PERCENT,
    "vocal_ai_confidence": SHARE,
    "instrumental_percentage": PERCENT,
    "instrumental_ai_percentage": PERCENT,
    "instrumental_ai_confidence": SHARE,
    "silence_percentage": PERCENT,
}
"""What is measured of a window and, by the same names, of the clip; from, to."""

_OF_WINDOW = {**MEASURES, "vocal_ai_probability": SHARE, "instrumental_ai_probability": SHARE}
TIMES = {"start_time_ms": (0.0, float(LONGEST_MS)), "end_time_ms": (0.0, float(LONGEST_MS))}
# The vendor's own yes and no: no threshold of ours.
_DECIDED: Final[Mapping[Number, Verdict]] = {100: Verdict.AI_GENERATED, 0: Verdict.NO_AI_DETECTED}


def picked(
    found: Mapping[str, Any], ranges: Mapping[str, tuple[float, float]], prefix: str = ""
) -> tuple[dict[str, Number], dict[str, Any]]:
    """Return the numbers within their ranges, by name; and by dotted path what stands there instead."""
    numbers = {name: value for name, span in ranges.items() if (value := number_of(found.get(name), *span)) is not None}
    odd = {f"{prefix}{name}": found[name] for name in ranges if found.get(name) is not None and name not in numbers}
    return numbers, odd


def read_windows(windows: list[Any], first: int = 0) -> tuple[list[Segment], dict[str, Any]]:
    """Return a segment for each window, numbered from `first`, and what has no home. Times are the window's own."""
    segments: list[Segment] = []
    extras: dict[str, Any] = {}
    for index, window in enumerate(windows, first):
        if isinstance(window, Mapping):
            segment, odd = _read_window(window, index)
            segments.append(segment)
            extras |= odd
        else:
            extras[f"windows[{index}]"] = window
    return segments, extras


def _read_window(window: Mapping[str, Any], index: int) -> tuple[Segment, dict[str, Any]]:
    prefix = f"windows[{index}]."
    numbers, odd = picked(window, _OF_WINDOW, prefix)
    times, odd_times = picked(window, TIMES, prefix)
    heard = [path for path in PATHS if _was_heard(path, numbers)]
    only = heard[0] if len(heard) == 1 else None
    silent = tuple(f"{path}_ai_" for path in PATHS if path not in heard)
    segment = Segment(
        index=index,
        start_ms=_whole(times.get("start_time_ms")),
        end_ms=_whole(times.get("end_time_ms")),
        component=PATHS[only] if only else None,
        verdict=_DECIDED.get(numbers.get(f"{only}_ai_percentage", -1)) if only else None,
        scores={name: value for name, value in numbers.items() if not name.startswith(silent)},
    )
    return segment, odd | odd_times | leftovers(window, {*_OF_WINDOW, *TIMES}, prefix)


def _was_heard(path: str, numbers: Mapping[str, Number]) -> bool:
    """Return True if this path judged the window. The threshold is not published, so two zeros are none."""
    if f"{path}_ai_probability" in numbers:
        return True
    return any(numbers.get(f"{path}_ai_{name}", 0) > 0 for name in ("percentage", "confidence"))


def _whole(number: Number | None) -> int | None:
    return None if number is None else round(number)
