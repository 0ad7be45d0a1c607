"""An answer in the same request, for vendors that keep no jobs: what is in its way, the wait, the spoiled body."""

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service.sandbox.script import Obstacle, Script
from service.sandbox.settings import SandboxSettings
from service.sandbox.troubles import Refuse, leaves, refused, unreadable
from service.sandbox.turns import Turns

Work = Callable[[Script], Awaitable[dict[str, Any] | Response]]
"""What comes of a request that is taken: the body of a 200, or a refusal."""


class Answering:
    """Answers one twin's requests by the words in the recording's name."""

    def __init__(self, settings: SandboxSettings, refuse: Refuse) -> None:
        self._settings = settings
        self._refuse = refuse
        self._turns = Turns()

    async def answer(self, request: Request, name: str, work: Work) -> Response:
        """The answer, once the work has taken its time. The work is not begun where the script is in its way."""
        obstacle = self._turns.obstacle(name)
        stopped = refused(obstacle, self._refuse)
        if stopped is not None:
            return stopped
        script = Script.of(name)
        found = await work(script)
        if isinstance(found, Response):
            return found
        await leaves(request.receive, self._hold_seconds(script, obstacle))
        if script.garbled:
            return unreadable(found, self._turns.turn(f"garbage/{name}"))
        return JSONResponse(found)

    def _hold_seconds(self, script: Script, obstacle: Obstacle | None) -> float:
        if obstacle is Obstacle.SILENCE:
            return self._settings.silence_seconds
        return script.done_after_seconds(self._settings.latency_seconds)
