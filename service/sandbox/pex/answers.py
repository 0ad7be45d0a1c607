"""What Pex says: the result object with its status, and the error body.

Written from docs.pex.com, "AI Song Detector: API Documentation", sections 3 to 5. The numbers are drawn from the
request's id. Silent there: `predicted_model` where the music is not AI (null here).
"""

import hashlib
import secrets
from typing import Any, Final

from starlette.responses import JSONResponse

from service.sandbox.script import Flaw, Script, Truth

_FIRST_ID: Final = 10**18
_UNHEARD_OF: Final = "hibernating"
_SCORES: Final = {Truth.AI: (0.95, 0.9999), Truth.HUMAN: (0.004, 0.06), Truth.COVER: (0.8, 0.95)}
_MODELS: Final = ("suno", "udio", "mureka", "elevenlabs")
_MODEL_SCORES: Final = (0.82, 0.99)
_FLAWS: Final = {
    Flaw.TOO_SHORT: "too_short",
    Flaw.TOO_LONG: "too_long",
    Flaw.NOT_ENOUGH_MUSIC: "not_enough_music",
    Flaw.NO_AUDIO: "no_audio",
    Flaw.INVALID: "invalid_file",
    Flaw.SILENT: "not_enough_music",  # "files containing a lot of silence"
}
_MESSAGES: Final = {
    "invalid_file": "The file is not recognized as a valid media file.",
    "no_audio": "The file contains no audio track.",
    "too_short": "The audio is too short.",
    "too_long": "The audio is longer than 15 minutes.",
    "not_enough_music": "The audio does not contain enough music.",
    "not_found": "The file could not be retrieved.",
    "error": "The file could not be processed.",
    _UNHEARD_OF: "The detector is asleep.",
}


def new_request_id() -> int:
    """Return an id of 19 digits, below 2**63, as in the vendor's samples."""
    return _FIRST_ID + secrets.randbelow(8 * _FIRST_ID)


def status_of(script: Script) -> str:
    """Return the status that the words ask for."""
    if script.unheard_of:
        return _UNHEARD_OF
    if script.fails:
        return "error"
    return "ok" if script.flaw is None else _FLAWS[script.flaw]


def unfinished(status: str) -> dict[str, Any]:
    """Return the body of a request that was processed and came to no answer."""
    return {"request_id": new_request_id(), "status": status, "message": _MESSAGES[status]}


def result(script: Script, request_id: int) -> dict[str, Any]:
    """Return the body of a request that came to an answer."""
    truth = script.heard_by("pex")
    noise = hashlib.sha256(str(request_id).encode()).digest()
    is_ai = truth is not Truth.HUMAN
    model = _MODELS[noise[1] % len(_MODELS)] if is_ai and not script.nameless else None
    body = {
        "request_id": request_id,
        "status": "ok",
        "message": "ok",
        "is_ai": is_ai,
        "ai_score": _drawn(_SCORES[truth], noise[0]),
        "predicted_model": model,
    }
    return body | ({"predicted_model_score": _drawn(_MODEL_SCORES, noise[2])} if model else {})


def refusal(status: int, _code: str, message: str) -> JSONResponse:
    """Return the error body, which has no `request_id`."""
    return JSONResponse({"status": "error", "message": message}, status_code=status)


def _drawn(between: tuple[float, float], noise: int) -> float:
    low, high = between
    return round(low + (high - low) * noise / 255, 4)
