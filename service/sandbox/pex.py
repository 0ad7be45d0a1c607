"""The twin of Pex's AI Song Detector: tokens, and detections answered in the same request.

Written from docs.pex.com, "AI Song Detector: API Documentation". Silent there, so our choice: the errors of the token
endpoint (RFC 6749 section 5.2), the bodies of 400, 401 and 413 (the one error body shown), redirects (not followed),
`predicted_model` where the music is not AI (null here). The numbers are drawn from the request's id.
Not here: how the limit of requests at a time grows (`counters`).
"""

import base64
import hashlib
import hmac
import secrets
from typing import Any, ClassVar, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.kit.clock import seconds
from service.sandbox.bodies import ReceivedFile, discarded_upload, form_fields, wav_bytes_per_second
from service.sandbox.records import Record
from service.sandbox.script import Flaw, Script, Truth, name_in
from service.sandbox.twin import NAME_LENGTH, TwinBase, TwinContext

CLIENT_ID: Final = "sandbox"
_GRANT: Final = "pex-token"
_DOWNLOADS: Final = {"download_failed": "not_found", "empty_file": "invalid_file"}
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


class PexTwin(TwinBase):
    """Pex as a client sees it."""

    busy: ClassVar[str] = "Too many requests. Please retry later."

    def __init__(self, context: TwinContext) -> None:
        super().__init__(context, refusal, capacity=context.settings.pex_capacity, grows=True)

    def routes(self) -> list[Route]:
        """Return the documented paths."""
        detect, detect_url = (self._for_key_holders(self._bounded(one)) for one in (self._detect, self._detect_url))
        return [
            Route("/oauth2/token", self._grant, methods=["POST"]),
            Route("/v1/ai-detector/detect", detect, methods=["POST"]),
            Route("/v1/ai-detector/detect-url", detect_url, methods=["POST"]),
        ]

    async def _grant(self, request: Request) -> Response:
        pair = base64.b64encode(f"{CLIENT_ID}:{self._settings.api_key}".encode())
        given = request.headers.get("authorization", "").encode()
        if not hmac.compare_digest(given, b"Basic " + pair):
            headers = {"WWW-Authenticate": "Basic"}
            return JSONResponse({"error": "invalid_client"}, status_code=401, headers=headers)
        fields = await form_fields(request) or {}
        if fields.get("grant_type") != "client_credentials":
            return JSONResponse({"error": "unsupported_grant_type"}, status_code=400)
        token = self._records.seal(Record(_GRANT, CLIENT_ID, self._clock()))
        more = {"token_type": "Bearer", "expires_in": self._settings.pex_token_seconds}
        return JSONResponse({"access_token": token} | ({} if self._settings.pex_bare_token else more))

    def _stranger(self, request: Request) -> Response | None:
        """Return the refusal of a client without a token of ours that still lives, or None."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        record = self._records.open(token, _GRANT) if scheme.lower() == "bearer" else None
        if record is not None and self._clock() < record.at + seconds(self._settings.pex_token_seconds):
            return None
        return refusal(401, "unauthorized", "Missing or invalid OAuth token.")

    async def _detect(self, request: Request) -> Response:
        upload = await discarded_upload(request, "file")
        if upload is None:
            return refusal(400, "bad_request", "A file is required in the field `file`.")
        if upload.size > self._settings.pex_max_bytes:
            return _too_large()

        async def work(script: Script) -> dict[str, Any]:
            return self._judged(script, self._flaw_of(upload))

        return await self._answer_at_once(request, upload.name[-NAME_LENGTH:], work)

    async def _detect_url(self, request: Request) -> Response:
        url = (await form_fields(request) or {}).get("url")
        if not url:
            return refusal(400, "bad_request", "A URL is required in the field `url`.")

        async def work(script: Script) -> dict[str, Any] | Response:
            wrong = await self._download(url, self._settings.pex_max_bytes)
            return _too_large() if wrong == "file_too_large" else self._judged(script, _DOWNLOADS.get(wrong))

        return await self._answer_at_once(request, _name_in(url), work)

    def _judged(self, script: Script, flaw: str | None) -> dict[str, Any]:
        """Return the result; a flaw found in the recording itself comes before what the words say."""
        status = flaw or status_of(script)
        return result(script, new_request_id()) if status == "ok" else unfinished(status)

    def _flaw_of(self, upload: ReceivedFile) -> str | None:
        """Return what is wrong with the file, or None. Only the duration of a WAV is known."""
        if not upload.size:
            return "invalid_file"
        rate = wav_bytes_per_second(upload.head)
        if rate is None:
            return None
        length_seconds = upload.size / rate
        if length_seconds < self._settings.pex_min_seconds:
            return "too_short"
        return "too_long" if length_seconds > self._settings.pex_max_seconds else None


def _name_in(url: str) -> str:
    try:
        return name_in(url)[-NAME_LENGTH:]
    except ValueError:
        return ""


def _too_large() -> Response:
    return refusal(413, "too_large", "The file is larger than 100 MB.")


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
    truth = script.truth_for("pex")
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
