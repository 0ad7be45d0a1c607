"""ASC's synchronous analysis: a link or base64 in, the verdict out, in the same request.

Written from aisongchecker.pro/api-docs (v1.0, March 2026). Silent there, so our choice: what a failed download gets
(400), what the raw features are called and look like. One liberty: with `audio_data` there is no name to carry words,
so `sandbox_name` in the query does, which no document has.
"""

import base64
import binascii
from typing import Any, ClassVar, Final

from starlette.requests import Request
from starlette.responses import Response

from service.sandbox.asc.answers import ENGINE, MESSAGES, is_address, reasons, refusal, verdict
from service.sandbox.asc.certificates import analysis_id
from service.sandbox.bodies import json_object
from service.sandbox.records import Record
from service.sandbox.script import Script, name_in
from service.sandbox.twin import NAME_LENGTH, TwinBase

FORMATS: Final = frozenset({"mp3", "wav", "ogg", "flac", "m4a"})
_FAILED_DOWNLOADS: Final = {"download_failed": 400, "empty_file": 400, "file_too_large": 413}


class AscAnalyses(TwinBase):
    """ASC as far as it analyses at once: the action `analyze`."""

    busy: ClassVar[str] = "Too many concurrent requests"

    async def _analyze(self, request: Request) -> Response:
        """Return the verdict, or why there is none."""
        body = await json_object(request)
        if body is None:
            return refusal(400, "invalid_request", "Malformed JSON")
        url, data = body.get("audio_url"), body.get("audio_data")
        if (url is None) == (data is None):
            return refusal(400, "invalid_request", "Provide either audio_url OR audio_data, not both")
        if (hint := body.get("format")) is not None and hint not in FORMATS:
            return refusal(400, "invalid_audio_format", MESSAGES["invalid_audio_format"])
        features = body.get("include_features") is True
        if url is None:
            return await self._given(request, data, features=features)
        return await self._linked(request, url, features=features)

    async def _given(self, request: Request, data: Any, *, features: bool) -> Response:
        sound = _decoded(data)
        if not sound:
            return refusal(400, "invalid_request", "audio_data must be base64")
        if len(sound) > self._settings.asc_max_bytes:
            return refusal(413, "file_too_large", MESSAGES["file_too_large"])
        name = request.query_params.get("sandbox_name", "")[-NAME_LENGTH:]

        async def work(script: Script) -> dict[str, Any] | Response:
            return self._analysis_of(script, name, features=features)

        return await self._answer_at_once(request, name, work)

    async def _linked(self, request: Request, url: Any, *, features: bool) -> Response:
        if not is_address(url):
            return refusal(400, "invalid_request", "audio_url must be an http(s) address")
        name = name_in(url)[-NAME_LENGTH:]

        async def work(script: Script) -> dict[str, Any] | Response:
            wrong = await self._download(url, self._settings.asc_max_bytes)
            if wrong:
                return refusal(_FAILED_DOWNLOADS[wrong], wrong, MESSAGES[wrong])
            return self._analysis_of(script, name, features=features)

        return await self._answer_at_once(request, name, work)

    def _analysis_of(self, script: Script, name: str, *, features: bool) -> dict[str, Any] | Response:
        if script.is_undecodable:
            return refusal(400, "invalid_audio_format", MESSAGES["invalid_audio_format"])
        if script.fails:
            return refusal(500, "server_error", "Internal error")
        record = Record("", name, self._clock())
        latency_seconds = script.done_after_seconds(self._settings.latency_seconds)
        judged = verdict(record)
        return {
            **({"analysis_id": analysis_id(self._records, record)} if self._settings.asc_analysis_ids else {}),
            **judged,
            "reasons": reasons(judged["prediction"]),
            "engine": ENGINE,
            "analysis_time_ms": round(1000 * latency_seconds),
            **({"features": {"ai_signal": judged["ai_score"] / 100}} if features else {}),
        }


def _decoded(data: Any) -> bytes | None:
    try:
        return base64.b64decode(data, validate=True) if isinstance(data, str) else None
    except (binascii.Error, ValueError):
        return None
