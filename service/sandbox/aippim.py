"""The twin of AIPPIM (also called MIPPIA): upload, submit, poll, signed callbacks, the address challenge.

Written from the vendor's pages at platform.mippia.com: "Upload Music", "AI Music Detection" (2026-02-09), "Quick
Start", "Webhooks". Silent there, so our choice: 200 on success, 404 for unknown ids and models, 422 for bad input,
the error envelope (that of an error page withdrawn in December 2025).
Not here: what the answers hold (`aippim_answers`, `aippim_result`), the callbacks (`aippim_callbacks`).
"""

import hmac
import json
import secrets
from collections.abc import Awaitable, Callable
from pathlib import PurePosixPath
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.kit.clock import Clock
from service.sandbox.aippim_answers import dated, polled, submissions, submitted, terminal, zulu
from service.sandbox.aippim_callbacks import AippimCallbacks
from service.sandbox.aippim_result import TIERS
from service.sandbox.bodies import discarded_upload, json_object
from service.sandbox.callbacks import Callbacks
from service.sandbox.outgoing import Outgoing
from service.sandbox.per_minute import PerMinute
from service.sandbox.records import Record, Records
from service.sandbox.script import Obstacle
from service.sandbox.settings import SandboxSettings
from service.sandbox.troubles import Held, refused, stumble
from service.sandbox.turns import Turns

FORMATS: Final = frozenset({".mp3", ".wav", ".flac", ".m4a", ".aac", ".ogg"})
_MUSIC: Final = "aippim-music"
_NAME_LENGTH: Final = 255

_Handler = Callable[[Request], Awaitable[Response]]


class AippimTwin:
    """AIPPIM as a client sees it."""

    def __init__(
        self,
        settings: SandboxSettings,
        clock: Clock,
        records: Records,
        callbacks: Callbacks,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._records = records
        self._callbacks = AippimCallbacks(settings, clock, callbacks)
        self._turns = Turns()
        self._minute = PerMinute(settings.aippim_per_minute)
        self._tasks = submissions(records, settings.latency_seconds)

    def routes(self) -> list[Route]:
        """The documented paths."""
        return [
            Route("/api/v1/music", self._for_key_holders(self._counted(self._upload)), methods=["POST"]),
            Route("/api/v1/ai-detection/{model}", self._for_key_holders(self._counted(self._submit)), methods=["POST"]),
            Route("/api/v1/task/result/{task_id}", self._for_key_holders(self._poll), methods=["GET"]),
        ]

    def _for_key_holders(self, handler: _Handler) -> _Handler:
        """The handler behind the key check. The pages give 404 for a key that does not exist."""
        expected = f"Bearer {self._settings.api_key}".encode()

        async def guarded(request: Request) -> Response:
            given = request.headers.get("authorization", "").encode()
            if not hmac.compare_digest(given, expected):
                return _refusal(404, "not_found", "API key does not exist")
            return await handler(request)

        return guarded

    def _counted(self, handler: _Handler) -> _Handler:
        """The handler behind the limit per minute. Whether polls count there is not documented; here they do not."""

        async def guarded(request: Request) -> Response:
            if not self._minute.takes(self._clock()):
                return _refusal(429, "rate_limited", "Too many requests")
            return await handler(request)

        return guarded

    async def _upload(self, request: Request) -> Response:
        upload = await discarded_upload(request, "file")
        if upload is None:
            return _refusal(422, "invalid_request", "A file is required", "file")
        path = PurePosixPath(upload.name)
        if path.suffix.lower() not in FORMATS or len(upload.name) > _NAME_LENGTH:
            return _refusal(422, "invalid_request", "Unsupported file name or format", "file")
        if not upload.size:
            return _refusal(422, "invalid_request", "The file is empty", "file")
        now = self._clock()
        music_id = self._records.seal(Record(_MUSIC, path.name, now))
        return JSONResponse({"musicId": music_id, "title": path.stem, "created_at": zulu(now)})

    async def _submit(self, request: Request) -> Response:
        model = request.path_params["model"]
        if model not in TIERS:
            return _refusal(404, "not_found", "Unknown model")
        body = await json_object(request)
        music_id = (body or {}).get("musicId")
        if not isinstance(music_id, str):
            return _refusal(422, "invalid_request", "musicId is required", "musicId")
        music = self._records.open(music_id, _MUSIC)
        if music is None:
            return _refusal(404, "not_found", "Music not found")
        obstacle = self._turns.obstacle(music.name)
        return refused(obstacle, _refusal) or await self._begin(music.name, model, obstacle)

    async def _begin(self, name: str, model: str, obstacle: Obstacle | None) -> Response:
        task = self._tasks.begin(name, self._clock(), tier=model)
        await self._callbacks.plan(task)
        answer = {"taskId": task.id} if self._settings.camel_case_ids else submitted(task)
        return Held(answer, self._settings.silence_seconds if obstacle is Obstacle.SILENCE else 0)

    async def _poll(self, request: Request) -> Response:
        task = self._tasks.find(request.path_params["task_id"])
        if task is None:
            return _refusal(404, "not_found", "Task not found")
        now = self._clock()
        spoiled = stumble(task, self._turns, now, _refusal, terminal)
        return spoiled or JSONResponse(dated(polled(task, now), task, korean=self._settings.aippim_korean_times))


async def passes_challenge(outgoing: Outgoing, url: str) -> bool:
    """Whether the address echoes a fresh code, as the dashboard demands before it saves a callback URL."""
    code = secrets.token_urlsafe(24)
    body = json.dumps({"challenge": code, "type": "url_verification"}).encode()
    answer = await outgoing.post(url, body, {})
    if answer is None:
        return False
    status, media_type, echoed = answer
    if status != 200 or media_type != "application/json":  # noqa: PLR2004 - HTTP's own number
        return False
    try:
        said = json.loads(echoed)
    except (ValueError, RecursionError):
        return False
    return isinstance(said, dict) and said.get("challenge") == code


def _refusal(status: int, code: str, message: str, field: str | None = None) -> JSONResponse:
    details = {} if field is None else {"details": {"field": field, "issue": message}}
    return JSONResponse({"error": {"code": code, "message": message, **details}}, status_code=status)
