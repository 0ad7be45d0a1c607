"""The twin of AIPPIM (also called MIPPIA): upload, submit, poll, signed callbacks, the address challenge.

Written from the vendor's pages at platform.mippia.com: "ReceivedFile Music", "AI Music Detection" (2026-02-09), "Quick
Start", "Webhooks". Silent there, so our choice: 200 on success, 404 for unknown ids and models, 422 for bad input,
the error envelope (that of an error page withdrawn in December 2025), three tries of each callback.
Not here: what the answers hold (`answers`, `result`).
"""

import asyncio
import hmac
import json
import secrets
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.kit.clock import Clock
from service.sandbox.aippim.answers import (
    dated,
    forged,
    polled,
    processing,
    quick_start,
    signed_headers,
    submissions,
    submitted,
    terminal,
    unheard_of,
    zulu,
)
from service.sandbox.aippim.result import TIERS
from service.sandbox.bodies import discarded_upload, json_object
from service.sandbox.counters import PerMinute
from service.sandbox.faults import DelayedResponse, garbled
from service.sandbox.outgoing import Callbacks, Outgoing, PlannedCallback
from service.sandbox.records import Record, Submission
from service.sandbox.settings import SandboxSettings
from service.sandbox.twin import NAME_LENGTH, Handler, TwinBase, TwinContext

FORMATS: Final = frozenset({".mp3", ".wav", ".flac", ".m4a", ".aac", ".ogg"})
_MUSIC: Final = "aippim-music"
_VENDOR: Final = "aippim"
_TRIES: Final = 3


class AippimTwin(TwinBase):
    """AIPPIM as a client sees it."""

    def __init__(self, context: TwinContext) -> None:
        super().__init__(context, _refusal)
        self._callbacks = AippimCallbacks(context.settings, context.clock, context.callbacks)
        self._minute = PerMinute(context.settings.aippim_per_minute)
        self._tasks = submissions(context.records, context.settings.latency_seconds)
        self._key = f"Bearer {context.settings.api_key}".encode()

    def routes(self) -> list[Route]:
        """Return the documented paths."""
        return [
            Route("/api/v1/music", self._for_key_holders(self._counted(self._upload)), methods=["POST"]),
            Route("/api/v1/ai-detection/{model}", self._for_key_holders(self._counted(self._submit)), methods=["POST"]),
            Route("/api/v1/task/result/{task_id}", self._for_key_holders(self._poll), methods=["GET"]),
        ]

    def _stranger(self, request: Request) -> Response | None:
        """Return a 404, as the pages have it for a key that does not exist, or None."""
        given = request.headers.get("authorization", "").encode()
        if hmac.compare_digest(given, self._key):
            return None
        return _refusal(404, "not_found", "API key does not exist")

    def _counted(self, handler: Handler) -> Handler:
        """Return the handler behind the limit a minute. That polls count there is not documented; here they do not."""

        async def guarded(request: Request) -> Response:
            if not self._minute.allows(self._clock()):
                return _refusal(429, "rate_limited", "Too many requests")
            return await handler(request)

        return guarded

    async def _upload(self, request: Request) -> Response:
        upload = await discarded_upload(request, "file")
        if upload is None:
            return _refusal(422, "invalid_request", "A file is required", "file")
        path = PurePosixPath(upload.name)
        if path.suffix.lower() not in FORMATS or len(upload.name) > NAME_LENGTH:
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
        name = music.name

        async def begin(delay_seconds: float) -> Response:
            task = self._tasks.begin(name, self._clock(), tier=model)
            await self._callbacks.plan(task)
            answer = {"taskId": task.id} if self._settings.camel_case_ids else submitted(task)
            return DelayedResponse(answer, delay_seconds)

        return await self._submit_job(name, begin)

    async def _poll(self, request: Request) -> Response:
        task = self._tasks.find(request.path_params["task_id"])
        if task is None:
            return _refusal(404, "not_found", "Task not found")
        now = self._clock()
        spoiled = self._spoiled_poll(task, now, terminal)
        return spoiled or JSONResponse(dated(polled(task, now), task, korean=self._settings.aippim_korean_times))


async def passes_challenge(outgoing: Outgoing, url: str) -> bool:
    """Return True if the address echoes a fresh code, which the dashboard demands before it saves a callback URL."""
    code = secrets.token_urlsafe(24)
    body = json.dumps({"challenge": code, "type": "url_verification"}).encode()
    answer = await outgoing.post(url, body, {})
    if answer is None:
        return False
    status, media_type, echoed = answer
    if status != 200 or media_type != "application/json":  # noqa: PLR2004 - HTTP's own number
        return False
    try:
        parsed = json.loads(echoed)
    except (ValueError, RecursionError):
        return False
    return isinstance(parsed, dict) and parsed.get("challenge") == code


def _refusal(status: int, code: str, message: str, field: str | None = None) -> JSONResponse:
    details = {} if field is None else {"details": {"field": field, "issue": message}}
    return JSONResponse({"error": {"code": code, "message": message, **details}}, status_code=status)


class AippimCallbacks:
    """The callbacks to the account's one address."""

    def __init__(self, settings: SandboxSettings, clock: Clock, callbacks: Callbacks) -> None:
        self._settings = settings
        self._clock = clock
        self._callbacks = callbacks

    async def plan(self, task: Submission) -> None:
        """Plan all callbacks of this task; where the script wants the last one first, wait until it was sent."""
        script = task.script
        if not script.callback_copies:
            return
        plan = self._callbacks.plan
        if script.forged:
            plan(task.working_at, lambda: self._forgeries(task), tries=_TRIES)
        if script.pace and not script.reordered:
            plan(task.working_at, lambda: self._under_way(task), tries=_TRIES)
        ended = plan(task.called_back_at, lambda: self._ended(task), tries=_TRIES)
        if script.callback_first:
            await asyncio.wait([ended])

    def _under_way(self, task: Submission) -> Sequence[PlannedCallback]:
        camel = self._settings.camel_case_ids
        body = quick_start(task, ended=False) if camel else processing(task)
        return self._signed(task, unheard_of(task) if task.script.unheard_of else body)

    def _ended(self, task: Submission) -> Sequence[PlannedCallback]:
        script = task.script
        body = quick_start(task, ended=True) if self._settings.camel_case_ids else terminal(task)
        body = dated(body, task, korean=self._settings.aippim_korean_times)
        if script.unheard_of:
            body = unheard_of(task)
        if script.garbled:
            return [callback for kind, text in garbled(body) for callback in self._sent(task, text, kind)]
        after = self._under_way(task) if script.reordered else ()
        return (*self._signed(task, body) * script.callback_copies, *after)

    def _forgeries(self, task: Submission) -> Sequence[PlannedCallback]:
        """Return two forgeries: a stranger's, and one with honest headers, which do not cover the body."""
        lie = json.dumps(forged(task)).encode()
        guessed = signed_headers(f"not {self._settings.webhook_secret(_VENDOR)}", task.id, self._clock())
        by_stranger = [PlannedCallback(one.url, lie, guessed) for one in self._sent(task, lie)]
        return [*by_stranger, *self._sent(task, lie)]

    def _signed(self, task: Submission, body: dict[str, Any]) -> tuple[PlannedCallback, ...]:
        return self._sent(task, json.dumps(body).encode())

    def _sent(self, task: Submission, body: bytes, media_type: str = "application/json") -> tuple[PlannedCallback, ...]:
        """Return the callback, signed as the vendor does, if the account has an address."""
        url = self._settings.callback_url(_VENDOR)
        headers = signed_headers(self._settings.webhook_secret(_VENDOR), task.id, self._clock())
        return () if url is None else (PlannedCallback(url, body, {**headers, "Content-Type": media_type}),)
