"""What Modulate says: the batch result, the stream's messages, the error body.

Written from docs.modulate.ai, "AI Music Detection", its batch specification (v1.0.0) and its stream specification.
"""

from collections.abc import Sequence
from typing import Any, Final

from starlette.responses import JSONResponse

from service.sandbox.modulate.windows import Window, clip, clip_score, shown
from service.sandbox.script import Script
from service.sandbox.settings import SandboxSettings

CREDITS: Final = "Insufficient credits."
BUSY: Final = "Too many concurrent requests."
NOT_PERMITTED: Final = "This request is not permitted."
BROKEN: Final = "Internal server error"
UNREADABLE: Final = "The audio could not be processed. It may be corrupted or in an unsupported format."
_UNHEARD_OF: Final = "hibernating"


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
