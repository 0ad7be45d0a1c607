"""The twin of ASC (AI Song Checker): one path, `?action=`, URL jobs with polling and unsigned callbacks.

Written from aisongchecker.pro/api-docs (v1.0, March 2026). The stored page names the actions `analyze` and `job`
only; `analyze-url` and `status` are guesses.
Not here: what the answers hold (`asc_answers`), the callbacks (`asc_callbacks`). Not here yet: synchronous analysis,
usage, quota, certificates, webhook registration.
"""

import hmac
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeGuard
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.kit.clock import Clock
from service.sandbox.asc_answers import accepted, ended, polled, submissions, zulu
from service.sandbox.asc_callbacks import AscCallbacks
from service.sandbox.bodies import json_object
from service.sandbox.callbacks import Callbacks
from service.sandbox.outgoing import Outgoing
from service.sandbox.records import Records
from service.sandbox.script import Obstacle, name_in
from service.sandbox.settings import SandboxSettings
from service.sandbox.troubles import Held, refused, stumble
from service.sandbox.turns import Turns

_DAILY_LIMIT: Final = 10_000
_URL_LENGTH: Final = 2_048
_NAME_LENGTH: Final = 255

_Action = Callable[[Request], Awaitable[Response]]


class AscTwin:
    """ASC as a client sees it."""

    def __init__(
        self,
        settings: SandboxSettings,
        clock: Clock,
        records: Records,
        callbacks: Callbacks,
        outgoing: Outgoing,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._callbacks = AscCallbacks(settings, callbacks)
        self._turns = Turns()
        self._outgoing = outgoing
        self._jobs = submissions(records, settings.latency_seconds)
        self._actions: dict[tuple[str, str], _Action] = {
            ("POST", "analyze-url"): self._submit,
            ("GET", "job"): self._poll,
            ("GET", "status"): self._status,
        }

    def routes(self) -> list[Route]:
        """The page prints two path roots; both work."""
        methods = ["GET", "POST"]
        return [Route(path, self._answer, methods=methods) for path in ("/v1", "/api-v1")]

    async def _answer(self, request: Request) -> Response:
        given = request.headers.get("x-api-key", "").encode()
        if not hmac.compare_digest(given, self._settings.api_key.encode()):
            return _refusal(401, "unauthorized", "Invalid or expired API key")
        action = self._actions.get((request.method, request.query_params.get("action", "")))
        if action is None:
            answer: Response = _refusal(400, "invalid_action", "Unknown action for this method")
        else:
            answer = await action(request)
        answer.headers.update(_rate_limit(self._clock()))
        return answer

    async def _submit(self, request: Request) -> Response:
        body = await json_object(request)
        if body is None:
            return _refusal(400, "invalid_request", "Malformed JSON")
        url, callback_url = body.get("url"), body.get("callback_url")
        if not _is_address(url):
            return _refusal(400, "invalid_request", "url is required and must be an http(s) address")
        if callback_url is not None and not _is_address(callback_url):
            return _refusal(400, "invalid_request", "callback_url must be an http(s) address")
        obstacle = self._turns.obstacle(name_in(url)[-_NAME_LENGTH:])
        return refused(obstacle, _refusal) or await self._begin(url, callback_url, obstacle)

    async def _begin(self, url: str, callback_url: str | None, obstacle: Obstacle | None) -> Response:
        wrong = await self._outgoing.fetch(
            url,
            max_bytes=self._settings.asc_max_bytes,
            timeout_seconds=self._settings.fetch_timeout_seconds,
        )
        name = name_in(url)[-_NAME_LENGTH:]
        job = self._jobs.begin(name, self._clock(), callback_url=callback_url, trouble=wrong)
        await self._callbacks.plan(job)
        hold_seconds = self._settings.silence_seconds if obstacle is Obstacle.SILENCE else 0
        return Held(accepted(job), hold_seconds, status_code=202)

    async def _poll(self, request: Request) -> Response:
        job = self._jobs.find(request.query_params.get("id", ""))
        if job is None:
            return _refusal(404, "not_found", "Job not found")
        now = self._clock()
        spoiled = stumble(job, self._turns, now, _refusal, ended)
        return spoiled or JSONResponse(polled(job, now))

    async def _status(self, _request: Request) -> Response:
        return JSONResponse(
            {
                "status": "operational",
                "version": "1.0",
                "engine": "v8.3",
                "uptime_percent": 99.98,
                "timestamp": zulu(self._clock()),
            },
        )


def _is_address(value: Any) -> TypeGuard[str]:
    if not isinstance(value, str) or len(value) > _URL_LENGTH:
        return False
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)


def _rate_limit(now: datetime) -> dict[str, str]:
    """The documented headers. A stateless twin counts nothing, so each request is the day's first.

    `X-RateLimit-Reset` is the next midnight UTC in Unix seconds.
    """
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    return {
        "X-RateLimit-Limit": str(_DAILY_LIMIT),
        "X-RateLimit-Remaining": str(_DAILY_LIMIT - 1),
        "X-RateLimit-Reset": str(int(midnight.timestamp())),
    }


def _refusal(status: int, code: str, message: str) -> JSONResponse:
    return JSONResponse({"error": code, "message": message, "status": status}, status_code=status)
