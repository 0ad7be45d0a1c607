"""What Modulate hears in a recording, in windows of 4 seconds, and says of it: the batch result, the stream, errors.

Written from docs.modulate.ai, "AI Music Detection", its batch specification (v1.0.0) and its stream specification; the
newer windows from what a showcase of the vendor's recorded in August 2026. Not documented: the thresholds of the
verdict, so they are settings. The numbers are drawn from a seed: plausible, and the same each time.
"""

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from starlette.responses import JSONResponse

from service.sandbox.script import Flaw, Script, Truth
from service.sandbox.settings import SandboxSettings

WINDOW_MS: Final = 4_000
_LONGEST_MS: Final = 4 * 3_600_000  # more windows are of no use
_SUNG: Final = 30  # percent of a window, from which on it counts as vocal
_VOCALS_EVERY: Final = 3  # two windows of three are sung
_AI: Final = (0.9, 0.99)
_HUMAN: Final = (0.01, 0.1)
CREDITS: Final = "Insufficient credits."
BUSY: Final = "Too many concurrent requests."
NOT_PERMITTED: Final = "This request is not permitted."
BROKEN: Final = "Internal server error"
UNREADABLE: Final = "The audio could not be processed. It may be corrupted or in an unsupported format."
_UNHEARD_OF: Final = "hibernating"


@dataclass(frozen=True)
class Window:
    """What is window_at in these milliseconds. A probability is None where there is nothing to judge."""

    start_ms: int
    end_ms: int
    vocal: int
    instrumental: int
    silence: int
    """Percentages, in steps of 5. Not mutually exclusive."""
    vocal_ai: float | None
    instrumental_ai: float | None

    @property
    def seconds(self) -> float:
        """The window's length. The last one of a clip may be short."""
        return (self.end_ms - self.start_ms) / 1000

    @property
    def is_sung(self) -> bool:
        """True if it went to the detector for vocals and to no other, before August 2026."""
        return self.vocal >= _SUNG


def windows(script: Script, seed: str, duration_ms: int) -> list[Window]:
    """Return the windows of a clip; the last one ends where the clip ends."""
    ends = range(WINDOW_MS, min(duration_ms, _LONGEST_MS) + WINDOW_MS, WINDOW_MS)
    return [window_at(script, seed, index, min(end, duration_ms)) for index, end in enumerate(ends)]


def window_at(script: Script, seed: str, index: int, end_ms: int) -> Window:
    """Return one window, by its number and its end."""
    noise = iter(hashlib.sha256(f"{seed}/{index}".encode()).digest())
    if script.flaw is Flaw.SILENT:
        return Window(index * WINDOW_MS, end_ms, 0, 0, _steps(noise, 85, 100), None, None)
    truth = script.truth_for("modulate")
    sung = not script.instrumental and index % _VOCALS_EVERY != _VOCALS_EVERY - 1
    return Window(
        index * WINDOW_MS,
        end_ms,
        vocal=_steps(noise, 60, 100) if sung else 0,
        instrumental=_steps(noise, 50, 95),
        silence=_steps(noise, 0, 15),
        vocal_ai=_drawn(noise, _HUMAN if truth is Truth.HUMAN else _AI) if sung else None,
        instrumental_ai=_drawn(noise, _AI if truth is Truth.AI else _HUMAN),
    )


def shown(window: Window, *, new: bool) -> dict[str, Any]:
    """Return the window as the batch prints it, before August 2026 or since."""
    sure = _new_judgement(window) if new else _old_judgement(window)
    return {
        "start_time_ms": window.start_ms,
        "end_time_ms": window.end_ms,
        "vocal_percentage": float(window.vocal),
        **{name: sure[name] for name in sure if name.startswith("vocal")},
        "instrumental_percentage": float(window.instrumental),
        **{name: sure[name] for name in sure if name.startswith("instrumental")},
        "silence_percentage": float(window.silence),
    }


def clip(found: Sequence[Window], *, new: bool) -> dict[str, float]:
    """Return the members of the whole clip. Content percentages are plain means of the windows, short or not."""
    judged = _new_clip(found) if new else _old_clip(found)
    content = {
        "vocal_percentage": _mean([one.vocal for one in found]),
        "instrumental_percentage": _mean([one.instrumental for one in found]),
        "silence_percentage": _mean([one.silence for one in found]),
    }
    return {name: round(value, 4 if name.endswith("confidence") else 2) for name, value in (content | judged).items()}


def clip_score(found: Sequence[Window]) -> float:
    """Return the stream's `instrumental_ai_percentage`: a score of the clip, where the batch has a share of it."""
    return round(100 * _mean([one.instrumental_ai for one in found if one.instrumental_ai is not None]), 1)


def _new_judgement(window: Window) -> dict[str, float | None]:
    vocal, backing = window.vocal_ai, window.instrumental_ai
    return {
        "vocal_ai_probability": vocal,
        "vocal_ai_confidence": vocal,
        "instrumental_ai_probability": backing,
        "instrumental_ai_confidence": None if backing is None else _certainty(backing),
    }


def _old_judgement(window: Window) -> dict[str, float]:
    """Return the members of one detector; the other's are 0."""
    asked = window.vocal_ai if window.is_sung else window.instrumental_ai
    percentage, confidence = (0.0, 0.0) if asked is None else (100.0 if _flagged(asked) else 0.0, _certainty(asked))
    names = ("vocal", "instrumental") if window.is_sung else ("instrumental", "vocal")
    own, other = names
    return {
        f"{own}_ai_percentage": percentage,
        f"{own}_ai_confidence": confidence,
        f"{other}_ai_percentage": 0.0,
        f"{other}_ai_confidence": 0.0,
    }


def _new_clip(found: Sequence[Window]) -> dict[str, float]:
    whole = sum(one.seconds for one in found)
    sung = [(one.seconds, one.vocal_ai) for one in found if one.vocal_ai is not None]
    played = [(one.seconds, one.instrumental_ai) for one in found if one.instrumental_ai is not None]
    return {
        "vocal_ai_percentage": 100 * _share(sung, whole),
        "vocal_ai_confidence": _mean([score for _, score in sung]),
        "instrumental_ai_percentage": 100 * _share(played, sum(length for length, _ in played)),
        "instrumental_ai_confidence": _mean([_certainty(score) for _, score in played]),
    }


def _old_clip(found: Sequence[Window]) -> dict[str, float]:
    whole = sum(one.seconds for one in found)
    sung = [(one.seconds, one.vocal_ai) for one in found if one.is_sung and one.vocal_ai is not None]
    played = [one.instrumental_ai for one in found if not one.is_sung and one.instrumental_ai is not None]
    flagged = [(length, 1.0) for length, score in sung if _flagged(score)]
    return {
        "vocal_ai_percentage": 100 * _share(flagged, whole),
        "vocal_ai_confidence": _mean([_certainty(score) for _, score in sung]),
        "instrumental_ai_percentage": 100 * _mean([float(_flagged(score)) for score in played]),
        "instrumental_ai_confidence": max(map(_certainty, played), default=0.0),
    }


def _flagged(probability: float) -> bool:
    return probability >= 0.5  # noqa: PLR2004 - more likely than not


def _certainty(probability: float) -> float:
    return round(abs(2 * probability - 1), 4)


def _share(parts: Sequence[tuple[float, float]], whole: float) -> float:
    return sum(length * score for length, score in parts) / whole if whole else 0.0


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else 0.0


def _drawn(noise: Iterator[int], between: tuple[float, float]) -> float:
    low, high = between
    return round(low + (high - low) * next(noise) / 255, 4)


def _steps(noise: Iterator[int], low: int, high: int) -> int:
    """Return a percentage in steps of 5: twenty parts of a window, each with sound or without."""
    return low + next(noise) % ((high - low) // 5 + 1) * 5


def detail(status: int, text: str) -> JSONResponse:
    """Return the error body, `detail` as text."""
    return JSONResponse({"detail": text}, status_code=status)


def refusal(status: int, code: str, message: str) -> JSONResponse:
    """Return the error body of an obstacle. Of the two meanings of 429 this is never the credits."""
    return detail(status, BUSY if code == "rate_limited" else message)


def field_missing(field: str) -> JSONResponse:
    """Return the error body, `detail` as the list of the framework that validates."""
    fault = {"loc": ["body", field], "msg": "Field required", "type": "missing"}
    return JSONResponse({"detail": [fault]}, status_code=422)


def batch_result(
    settings: SandboxSettings, script: Script, name: str, found: Sequence[Window], *, latency_ms: float
) -> dict[str, Any]:
    """Return the 200 body."""
    new = settings.modulate_new_windows
    whole = clip(found, new=new)
    return {
        "filename": name,
        "duration_s": found[-1].end_ms / 1000,
        "primary_verdict": _verdict(settings, script, whole),
        **whole,
        "latency_ms": latency_ms,
        "windows": [shown(one, new=new) for one in found],
    }


def window_message(settings: SandboxSettings, window: Window) -> dict[str, Any]:
    """Return the stream's message for one window, which says nothing of instrumental AI."""
    members = shown(window, new=settings.modulate_new_windows)
    public = {name: value for name, value in members.items() if not name.startswith("instrumental_ai")}
    return {"type": "window", "window": public}


def done_message(
    settings: SandboxSettings, script: Script, found: Sequence[Window], *, sent: int, duration_ms: int
) -> dict[str, Any]:
    """Return the stream's last message; `sent` windows came before it."""
    whole = clip(found, new=settings.modulate_new_windows)
    return {
        "type": "done",
        "duration_ms": duration_ms,
        "window_count": sent,
        "primary_verdict": _verdict(settings, script, whole),
        **(whole | {"instrumental_ai_percentage": clip_score(found)}),
    }


def _verdict(settings: SandboxSettings, script: Script, whole: dict[str, float]) -> str:
    if script.unheard_of:
        return _UNHEARD_OF
    if whole["vocal_ai_percentage"] > settings.modulate_vocal_threshold:
        return "ai-vocal-music"
    if whole["instrumental_ai_percentage"] > settings.modulate_instrumental_threshold:
        return "ai-instrumental"
    return "not-ai-music"
