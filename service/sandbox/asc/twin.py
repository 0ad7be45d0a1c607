"""The twin of ASC (AI Song Checker): one path, `?action=`: URL jobs with polling, and analyses answered at once.

Written from aisongchecker.pro/api-docs (v1.0, March 2026). The stored page names the actions `analyze` and `job`
only; all others are guesses, and so are their methods. Silent there, so our choice: what a failed download gets (400),
what the raw features are called and look like. One liberty: with `audio_data` there is no name to carry words, so
`sandbox_name` in the query does, which no document has.
Not here: what the answers hold (`answers`), limits, usage and callbacks (`account`).
"""

import base64
import binascii
import hmac
from datetime import datetime
from typing import Any, ClassVar, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.sandbox.asc.account import EVENTS, AscAccount, AscCallbacks
from service.sandbox.asc.answers import (
    ENGINE,
    MESSAGES,
    accepted,
    analysis_id,
    ended,
    is_address,
    issued,
    polled,
    reasons,
    refusal,
    submissions,
    verdict,
    verified,
    zulu,
)
from service.sandbox.bodies import json_object
from service.sandbox.faults import DelayedResponse
from service.sandbox.records import Record, Submission
from service.sandbox.script import Script, name_in
from service.sandbox.twin import NAME_LENGTH, Handler, TwinBase, TwinContext

FORMATS: Final = frozenset({"mp3", "wav", "ogg", "flac", "m4a"})
_FAILED_DOWNLOADS: Final = {"download_failed": 400, "empty_file": 400, "file_too_large": 413}


class AscTwin(TwinBase):
    """ASC as a client sees it."""

    busy: ClassVar[str] = "Too many concurrent requests"

    def __init__(self, context: TwinContext) -> None:
        super().__init__(context, refusal, capacity=context.settings.asc_concurrent)
        self._account = AscAccount(context.settings, context.clock)
        self._callbacks = AscCallbacks(context.settings, context.callbacks, self._account)
        self._jobs = submissions(context.records, context.settings.latency_seconds)
        self._actions: dict[tuple[str, str], Handler] = {
            ("POST", "analyze"): self._analyze,
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
        """Return both path roots that the page prints."""
        handler = self._for_key_holders(self._answer)
        return [Route(path, handler, methods=["GET", "POST"]) for path in ("/v1", "/api-v1")]

    def _stranger(self, request: Request) -> Response | None:
        given = request.headers.get("x-api-key", "").encode()
        if hmac.compare_digest(given, self._settings.api_key.encode()):
            return None
        return refusal(401, "unauthorized", "Invalid or expired API key")

    async def _answer(self, request: Request) -> Response:
        """Count the request, and answer it within the day's limit."""
        name = request.query_params.get("action", "")
        action = self._actions.get((request.method, name), _unknown)
        within = self._account.count(name if action is not _unknown else "unknown")
        if within:
            answer = await self._bounded(action)(request)
        else:
            answer = _over_limit(self._account.seconds_to_reset())
        self._account.answered(answer.status_code)
        answer.headers.update(self._account.headers())
        return answer

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

    async def _submit(self, request: Request) -> Response:
        body = await json_object(request)
        if body is None:
            return refusal(400, "invalid_request", "Malformed JSON")
        url, callback_url = body.get("url"), body.get("callback_url")
        if not is_address(url):
            return refusal(400, "invalid_request", "url is required and must be an http(s) address")
        if callback_url is not None and not is_address(callback_url):
            return refusal(400, "invalid_request", "callback_url must be an http(s) address")
        name = name_in(url)[-NAME_LENGTH:]

        async def begin(delay_seconds: float) -> Response:
            wrong = await self._download(url, self._settings.asc_max_bytes)
            job = self._jobs.begin(name, self._clock(), callback_url=callback_url, trouble=wrong)
            await self._callbacks.plan(job)
            return DelayedResponse(accepted(job), delay_seconds, status_code=202)

        return await self._submit_job(name, begin)

    async def _poll(self, request: Request) -> Response:
        job = self._jobs.find(request.query_params.get("id", ""))
        if job is None:
            return refusal(404, "not_found", "Job not found")
        now = self._clock()
        return self._spoiled_poll(job, now, ended) or JSONResponse(self._polled(job, now))

    def _polled(self, job: Submission, now: datetime) -> dict[str, Any]:
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
        proof = verified(self._records, query.get("certificate_id", query.get("id", "")), self._clock())
        return JSONResponse(proof) if proof else refusal(404, "not_found", "Certificate not found")

    async def _register(self, request: Request) -> Response:
        body = await json_object(request) or {}
        url, events = body.get("url"), body.get("events")
        if not is_address(url) or not isinstance(events, list) or not events or not EVENTS.issuperset(map(str, events)):
            return refusal(400, "invalid_request", f"url and events are required; events are {sorted(EVENTS)}")
        self._account.callback_url, self._account.events = url, frozenset(map(str, events))
        return JSONResponse({"url": url, "events": events, "status": "active"})

    async def _usage(self, request: Request) -> Response:
        query = request.query_params
        usage = self._account.usage(query.get("period", "month"), detailed=query.get("detailed") in {"true", "1"})
        return JSONResponse(usage) if usage else refusal(400, "invalid_request", "period is today, week or month")

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


def _decoded(data: Any) -> bytes | None:
    try:
        return base64.b64decode(data, validate=True) if isinstance(data, str) else None
    except (binascii.Error, ValueError):
        return None
