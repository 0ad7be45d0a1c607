"""What all twins have in common: key, limits, and how the words in a recording's name shape the answer.

A request passes the key check and the limit of requests at a time. Then the script of the name decides: first an
obstacle in the way, then the answer, after the work has taken its time. Bodies and refusals are each twin's own.
"""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from service.kit.clock import Clock
from service.sandbox.counters import CallCounter, Concurrency
from service.sandbox.faults import Refuse, leaves, refused, unreadable
from service.sandbox.outgoing import Callbacks, Outgoing
from service.sandbox.records import Records, Submission
from service.sandbox.script import Obstacle, Phase, Script
from service.sandbox.settings import SandboxSettings

NAME_LENGTH: Final = 255

Handler = Callable[[Request], Awaitable[Response]]

Work = Callable[[Script], Awaitable[dict[str, Any] | Response]]
"""What comes of a request that is taken: the body of a 200, or a refusal."""

Begin = Callable[[float], Awaitable[Response]]
"""Begins a job and returns the answer to its submission, which is held back for so many seconds."""


@dataclass(frozen=True, slots=True)
class TwinContext:
    """What a twin may be built of."""

    settings: SandboxSettings
    clock: Clock
    records: Records
    callbacks: Callbacks
    outgoing: Outgoing


class TwinBase(ABC):
    """A vendor as a client sees it."""

    busy: ClassVar[str] = "Too many requests"
    """The text of the refusal where too many requests are at work."""

    def __init__(self, context: TwinContext, refuse: Refuse, *, capacity: int = 0, grows: bool = False) -> None:
        self._settings = context.settings
        self._clock = context.clock
        self._records = context.records
        self._outgoing = context.outgoing
        self._refuse = refuse
        self._concurrency = Concurrency(capacity, grows=grows)
        # Counted apart: a name that is both submitted as a job and answered at once meets its obstacles in each.
        self._jobs_asked = CallCounter()
        self._answers_asked = CallCounter()

    @abstractmethod
    def routes(self) -> Sequence[BaseRoute]:
        """Return the documented paths."""

    @abstractmethod
    def _stranger(self, request: Request) -> Response | None:
        """Return the refusal of a client without a valid key, or None."""

    def _for_key_holders(self, handler: Handler) -> Handler:
        """Return the handler behind the key check."""

        async def guarded(request: Request) -> Response:
            return self._stranger(request) or await handler(request)

        return guarded

    def _bounded(self, handler: Handler) -> Handler:
        """Return the handler behind the limit of requests at a time."""

        async def guarded(request: Request) -> Response:
            with self._concurrency.slot(self._clock()) as free:
                return await handler(request) if free else self._refuse(429, "rate_limited", self.busy)

        return guarded

    async def _submit_job(self, name: str, begin: Begin) -> Response:
        """Begin the job, or return what is in its way."""
        obstacle = self._jobs_asked.obstacle(name)
        stopped = refused(obstacle, self._refuse)
        return stopped or await begin(self._settings.silence_seconds if obstacle is Obstacle.SILENCE else 0)

    def _spoiled_poll(
        self, task: Submission, now: datetime, ended: Callable[[Submission], dict[str, Any]]
    ) -> Response | None:
        """Return the answer to a poll that the script spoils: a 500 to the first, unreadable bodies after the end."""
        script = task.script
        if not (script.stumbles or script.garbled):
            return None
        before = self._jobs_asked.count(task.id)
        if script.stumbles and not before:
            return self._refuse(500, "internal_error", "Something went wrong")
        if not script.garbled or task.phase(now) is not Phase.DONE:
            return None
        return unreadable(ended(task), before)

    async def _answer_at_once(self, request: Request, name: str, work: Work) -> Response:
        """Return the answer, once the work has taken its time; the work is not begun behind an obstacle."""
        obstacle = self._answers_asked.obstacle(name)
        stopped = refused(obstacle, self._refuse)
        if stopped is not None:
            return stopped
        script = Script.of(name)
        found = await work(script)
        if isinstance(found, Response):
            return found
        latency_seconds = script.done_after_seconds(self._settings.latency_seconds)
        silent = obstacle is Obstacle.SILENCE
        await leaves(request.receive, self._settings.silence_seconds if silent else latency_seconds)
        if script.garbled:
            return unreadable(found, self._answers_asked.count(f"garbage/{name}"))
        return JSONResponse(found)

    async def _download(self, url: str, max_bytes: int) -> str:
        """Read and forget the recording at `url`; return what went wrong, or an empty string."""
        return await self._outgoing.fetch(
            url, max_bytes=max_bytes, timeout_seconds=self._settings.fetch_timeout_seconds
        )
