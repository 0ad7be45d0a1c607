"""The twin of Modulate's AI music detection, the batch: one file in, its result out, in the same request.

Written from docs.modulate.ai, "AI Music Detection", and the batch specification (v1.0.0). Silent there, so our choice:
the texts of 413 and of too many requests at a time.
Not here: what the answers hold (`answers`, `windows`), the stream (`stream`).
"""

import hmac
from pathlib import PurePosixPath
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute

from service.sandbox.bodies import ReceivedFile, bytes_per_second, discarded_upload
from service.sandbox.modulate.answers import (
    BROKEN,
    CREDITS,
    NOT_PERMITTED,
    UNREADABLE,
    batch_result,
    detail,
    field_missing,
    refusal,
    windows,
)
from service.sandbox.modulate.stream import ModulateStream
from service.sandbox.script import Script
from service.sandbox.twin import TwinBase, TwinContext

FORMATS: Final = frozenset({".aac", ".flac", ".m4a", ".mp3", ".mp4", ".ogg", ".opus", ".wav"})


class ModulateTwin(TwinBase):
    """Modulate as a client sees it."""

    def __init__(self, context: TwinContext) -> None:
        super().__init__(context, refusal, capacity=context.settings.modulate_concurrent)
        self._stream = ModulateStream(context.settings, context.clock)

    def routes(self) -> list[BaseRoute]:
        """Return the documented paths."""
        batch = self._for_key_holders(self._bounded(self._batch))
        return [
            Route("/api/velma-2-ai-music-detection-batch", batch, methods=["POST"]),
            WebSocketRoute("/api/velma-2-ai-music-detection-streaming", self._stream),
        ]

    def _stranger(self, request: Request) -> Response | None:
        """Return the refusal of a client without our key: by the guides, or as the first specification has it."""
        key = request.headers.get("x-api-key")
        if key is not None and hmac.compare_digest(key.encode(), self._settings.api_key.encode()):
            return None
        if self._settings.modulate_guides_errors:
            return detail(401, "Invalid or missing API key.")
        return detail(422, "Invalid request.") if key is None else detail(403, NOT_PERMITTED)

    async def _batch(self, request: Request) -> Response:
        upload = await discarded_upload(request, "upload_file")
        if upload is None:
            return field_missing("upload_file")
        if not upload.size:
            return detail(400, "The uploaded file is empty.")
        if upload.size > self._settings.modulate_max_bytes:
            return detail(413, "The uploaded file is too large.")
        if PurePosixPath(upload.name).suffix.lower() not in FORMATS:
            return detail(400, UNREADABLE)
        if self._settings.modulate_out_of_credits:
            return detail(429, CREDITS)

        async def work(script: Script) -> dict[str, Any] | Response:
            return self._judged(script, upload)

        return await self._answer_at_once(request, upload.name, work)

    def _judged(self, script: Script, upload: ReceivedFile) -> dict[str, Any] | Response:
        if script.fails:
            return detail(500, BROKEN)
        if script.is_undecodable:
            return detail(400, UNREADABLE)
        rate = bytes_per_second(upload.head, PurePosixPath(upload.name).suffix.lower()[1:])
        found = windows(script, f"{upload.name}/{upload.size}", max(1, round(1000 * upload.size / rate)))
        latency_ms = 1000 * script.done_after_seconds(self._settings.latency_seconds)
        return batch_result(self._settings, script, upload.name, found, latency_ms=latency_ms)
