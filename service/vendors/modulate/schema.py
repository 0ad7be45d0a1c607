"""What Modulate's schemas require of an answer, so that "not AI" is never taken from half of one.

Documents: the OpenAPI description of the batch endpoint and the AsyncAPI one of the stream; all members are required.
In the newer windows (August 2026) `null` says that there was nothing to judge, which is an answer too. A stream's
windows tell of vocals only; there `done` alone says it of the instruments.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from service.detectors.answers import folded, number_of, object_of
from service.vendors.modulate.windows import LONGEST_MS, MEASURES, PATHS, PERCENT, SHARE, TIMES

Ranges = Mapping[str, tuple[float, float]]
_VOCAL, _INSTRUMENTAL = PATHS
_LONGEST: Final = float(LONGEST_MS)
_BATCH: Final[Ranges] = {**MEASURES, "duration_s": (0.0, _LONGEST / 1000), "latency_ms": (0.0, _LONGEST)}
_DONE: Final[Ranges] = {**MEASURES, "duration_ms": (0.0, _LONGEST), "window_count": (0.0, _LONGEST)}
_HEARD: Final[Ranges] = {**TIMES, **{f"{what}_percentage": PERCENT for what in (*PATHS, "silence")}}


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
    silent = tuple(f"{path}_ai_" for path in PATHS if _never_judged(path, windows))
    if streamed and _without_instruments(clip, windows):
        silent += (f"{_INSTRUMENTAL}_ai_",)
    for name, span in ranges.items():
        nothing_there = name in clip and clip[name] is None and name.startswith(silent)
        if not nothing_there and number_of(clip.get(name), *span) is None:
            yield name
    for index, window in enumerate(windows):
        for name in _missing_in(object_of(window), [_VOCAL] if streamed else [*PATHS]):
            yield f"windows[{index}].{name}"


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
