"""The twin of ASC (AI Song Checker): one path, `?action=`, URL jobs with polling and unsigned callbacks.

Written from aisongchecker.pro/api-docs (v1.0, March 2026). The stored page names the actions `analyze` and `job`
only; all others are guesses, and so are their methods.
Not here: what the answers hold (`asc_answers`), the callbacks (`asc_callbacks`), the synchronous analysis
(`asc_analyze`), limits and usage (`asc_account`), certificates (`asc_certificates`).
"""

import hmac
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.kit.clock import Clock
from service.sandbox.asc_account import EVENTS, AscAccount
from service.sandbox.asc_analyze import AscAnalysis
from service.sandbox.asc_answers import accepted, ended, is_address, polled, refusal, submissions, zulu
from service.sandbox.asc_callbacks import AscCallbacks
from service.sandbox.asc_certificates import analysis_id, issued, verified
from service.sandbox.bodies import json_object
from service.sandbox.callbacks import Callbacks
from service.sandbox.load import Load
from service.sandbox.outgoing import Outgoing
from service.sandbox.records import Records
from service.sandbox.script import Obstacle, name_in
from service.sandbox.settings import SandboxSettings
from service.sandbox.submissions import Submission
from service.sandbox.troubles import Held, refused, stumble
from service.sandbox.turns import Turns

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
        self._records = records
        self._account = AscAccount(settings, clock)
        self._callbacks = AscCallbacks(settings, callbacks, self._account)
        self._load = Load(settings.asc_concurrent)
        self._turns = Turns()
        self._outgoing = outgoing
        self._jobs = submissions(records, settings.latency_seconds)
        self._actions: dict[tuple[str, str], _Action] = {
            ("POST", "analyze"): AscAnalysis(settings, clock, records, outgoing).answer,
            ("POST", "analyze-url"): self._submit,
            ("POST", "certificate"): self._certify,
            ("POST", "webhook"): self._register,
            ("GET", "verify"): self._verify,
            ("GET", "usage"): self._usage,
            ("GET", "quota"): self._quota,
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
            return refusal(401, "unauthorized", "Invalid or expired API key")
        name = request.query_params.get("action", "")
        action = self._actions.get((request.method, name), _unknown)
        within = self._account.count(name if action is not _unknown else "unknown")
        answer = await self._bounded(request, action) if within else _over_limit(self._account.seconds_to_reset())
        self._account.answered(answer.status_code)
        answer.headers.update(self._account.headers())
        return answer

    async def _bounded(self, request: Request, action: _Action) -> Response:
        """The action's answer, if not too many are at work."""
        with self._load.taken(self._clock()) as borne:
            if not borne:
                return refusal(429, "rate_limited", "Too many concurrent requests")
            return await action(request)

    async def _submit(self, request: Request) -> Response:
        body = await json_object(request)
        if body is None:
            return refusal(400, "invalid_request", "Malformed JSON")
        url, callback_url = body.get("url"), body.get("callback_url")
        if not is_address(url):
            return refusal(400, "invalid_request", "url is required and must be an http(s) address")
        if callback_url is not None and not is_address(callback_url):
            return refusal(400, "invalid_request", "callback_url must be an http(s) address")
        obstacle = self._turns.obstacle(name_in(url)[-_NAME_LENGTH:])
        return refused(obstacle, refusal) or await self._begin(url, callback_url, obstacle)

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
            return refusal(404, "not_found", "Job not found")
        now = self._clock()
        spoiled = stumble(job, self._turns, now, refusal, ended)
        return spoiled or JSONResponse(self._said(job, now))

    def _said(self, job: Submission, now: datetime) -> dict[str, Any]:
        body = polled(job, now)
        has_id = self._settings.asc_analysis_ids and "prediction" in body
        return body | ({"analysis_id": analysis_id(self._records, job.record)} if has_id else {})

    async def _certify(self, request: Request) -> Response:
        body = await json_object(request) or {}
        analysis, file_format = body.get("analysis_id"), body.get("format", "pdf")
        if not isinstance(analysis, str) or file_format != "pdf":
            return refusal(400, "invalid_request", "analysis_id is required, and format is pdf")
        certificate = issued(self._records, analysis, file_format, self._clock())
        if certificate is None:
            return refusal(404, "not_found", "Analysis not found")
        self._callbacks.announce(certificate, self._clock())
        return JSONResponse(certificate)

    async def _verify(self, request: Request) -> Response:
        query = request.query_params
        said = verified(self._records, query.get("certificate_id", query.get("id", "")), self._clock())
        return JSONResponse(said) if said else refusal(404, "not_found", "Certificate not found")

    async def _register(self, request: Request) -> Response:
        body = await json_object(request) or {}
        url, events = body.get("url"), body.get("events")
        if not is_address(url) or not isinstance(events, list) or not events or not EVENTS.issuperset(map(str, events)):
            return refusal(400, "invalid_request", f"url and events are required; events are {sorted(EVENTS)}")
        self._account.callback_url, self._account.events = url, frozenset(map(str, events))
        return JSONResponse({"url": url, "events": events, "status": "active"})

    async def _usage(self, request: Request) -> Response:
        query = request.query_params
        said = self._account.usage(query.get("period", "month"), detailed=query.get("detailed") in {"true", "1"})
        return JSONResponse(said) if said else refusal(400, "invalid_request", "period is today, week or month")

    async def _quota(self, _request: Request) -> Response:
        return JSONResponse(self._account.quota())

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


async def _unknown(_request: Request) -> Response:
    return refusal(400, "invalid_action", "Unknown action for this method")


def _over_limit(seconds_to_reset: int) -> Response:
    answer = refusal(429, "rate_limit_exceeded", "Rate limit exceeded")
    answer.headers["Retry-After"] = str(seconds_to_reset)
    return answer
