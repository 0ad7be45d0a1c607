"""The members of Modulate's answers: a window in our words, what is measured, and what the schemas require.

Documents: the OpenAPI description of the batch endpoint and the AsyncAPI one of the stream; all members are required,
so that "not AI" is never taken from half an answer. Old windows: the one path that was taken has a number, the other is
documented as 0. New ones (August 2026): each path has a probability and a confidence, and `null` where there was
nothing to judge, which is an answer and not the same as 0. A stream's windows tell of vocals only; there `done` alone
says it of the instruments.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from service.detectors.answers import folded, leftovers, number_of, object_of
from service.detectors.enums import Verdict
from service.detectors.reading import Number, Segment

PATHS: Final[Mapping[str, str]] = {"vocal": "vocals", "instrumental": "instrumental"}
"""The vendor's two detection paths, and our names for what they listen to."""

LONGEST_MS: Final = 2**31 - 1
Ranges = Mapping[str, tuple[float, float]]
PERCENT = (0.0, 100.0)
SHARE = (0.0, 1.0)
MEASURES: Final[Ranges] = {
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
_LONGEST: Final = float(LONGEST_MS)
TIMES = {"start_time_ms": (0.0, _LONGEST), "end_time_ms": (0.0, _LONGEST)}
# The vendor's own yes and no: no threshold of ours.
_DECIDED: Final[Mapping[Number, Verdict]] = {100: Verdict.AI_GENERATED, 0: Verdict.NO_AI_DETECTED}
_VOCAL, _INSTRUMENTAL = PATHS
_BATCH: Final[Ranges] = {**MEASURES, "duration_s": (0.0, _LONGEST / 1000), "latency_ms": (0.0, _LONGEST)}
_DONE: Final[Ranges] = {**MEASURES, "duration_ms": (0.0, _LONGEST), "window_count": (0.0, _LONGEST)}
_HEARD: Final[Ranges] = {**TIMES, **{f"{what}_percentage": PERCENT for what in (*PATHS, "silence")}}


def picked(found: Mapping[str, Any], ranges: Ranges, prefix: str = "") -> tuple[dict[str, Number], dict[str, Any]]:
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
    heard = [path for path in PATHS if _was_judged(path, numbers)]
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


def _was_judged(path: str, numbers: Mapping[str, Number]) -> bool:
    """Return True if this path judged the window. The threshold is not published, so two zeros are none."""
    if f"{path}_ai_probability" in numbers:
        return True
    return any(numbers.get(f"{path}_ai_{name}", 0) > 0 for name in ("percentage", "confidence"))


def _whole(number: Number | None) -> int | None:
    return None if number is None else round(number)


def lacking(bodies: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the first required member that is missing or invalid; `None` if the answer is whole."""
    done = [body for body in bodies if _is(body, "done")]
    if not done:
        clip = bodies[0] if bodies else {}
        windows = clip.get("windows")
        if not isinstance(clip.get("filename"), str):
            return "filename"
        if not isinstance(windows, list):
            return "windows"
        return next(_missing(clip, windows, _BATCH, streamed=False), None)
    windows = [body.get("window") for body in bodies if _is(body, "window")]
    return next(_missing(done[0], windows, _DONE, streamed=True), None)


def _missing(clip: Mapping[str, Any], windows: Sequence[Any], ranges: Ranges, *, streamed: bool) -> Iterator[str]:
    silent = _silent_paths(clip, windows, streamed=streamed)
    for name, span in ranges.items():
        nothing_there = name in clip and clip[name] is None and name.startswith(silent)
        if not nothing_there and number_of(clip.get(name), *span) is None:
            yield name
    paths = [_VOCAL] if streamed else [*PATHS]
    for index, window in enumerate(windows):
        for name in _missing_in(object_of(window), paths):
            yield f"windows[{index}].{name}"


def _silent_paths(clip: Mapping[str, Any], windows: Sequence[Any], *, streamed: bool) -> tuple[str, ...]:
    """Return how the members of those paths begin of which the windows say that there was nothing to judge."""
    paths = [path for path in PATHS if _never_judged(path, windows)]
    if streamed and _without_instruments(clip, windows):
        paths.append(_INSTRUMENTAL)
    return tuple(f"{path}_ai_" for path in paths)


def _missing_in(window: Mapping[str, Any], paths: Sequence[str]) -> Iterator[str]:
    """Return what a stream's windows lack, which describe vocals only."""
    for name, span in _HEARD.items():
        if number_of(window.get(name), *span) is None:
            yield name
    for path in paths:
        newer, confidence = f"{path}_ai_probability", f"{path}_ai_confidence"
        if newer in window:
            if confidence not in window:
                yield confidence
            continue
        for name, span in ((f"{path}_ai_percentage", PERCENT), (confidence, SHARE)):
            if number_of(window.get(name), *span) is None:
                yield name


def _never_judged(path: str, windows: Sequence[Any]) -> bool:
    """Return True if each window, in the newer shape, says that on this path there was nothing to judge."""
    name = f"{path}_ai_probability"
    return bool(windows) and all(name in object_of(each) and object_of(each)[name] is None for each in windows)


def _without_instruments(done: Mapping[str, Any], windows: Sequence[Any]) -> bool:
    """Return True if a stream in the newer shape ended with no number at all for the instruments."""
    newer = bool(windows) and all(f"{_VOCAL}_ai_probability" in object_of(each) for each in windows)
    both = [f"{_INSTRUMENTAL}_ai_{what}" for what in ("percentage", "confidence")]
    return newer and all(name in done and done[name] is None for name in both)


def _is(message: Mapping[str, Any], kind: str) -> bool:
    found = message.get("type")
    return isinstance(found, str) and folded(found) == kind
