"""The vendor's twins in many paces: each submission takes a time of its own, and each request is counted.

A twin's answers depend on its latency, so there is one for each latency, behind one address. An upload is any twin's;
a submission goes to the next one; who asks for an answer is sent to the twin that took the submission.
"""

import asyncio
import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import cycle
from statistics import NormalDist

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.sandbox.app import Sandbox, SandboxSettings, create

_SUBMIT, _RESULT = "/ai-detection/", "/task/result/"
_KINDS = {"/music": "upload", _SUBMIT: "submission", _RESULT: "question"}


@dataclass
class SpreadTwins:
    """Twins whose submissions take these seconds, in turn. While `lost`, no callback leaves."""

    settings: SandboxSettings
    latencies: Sequence[float]
    lost: bool = False
    requests: Counter[str] = field(default_factory=Counter)
    """How many were answered, by kind: uploads, submissions, questions for the answer."""
    done_at: dict[str, float] = field(default_factory=dict)
    """When the answer of each task is there, by the event loop's clock."""
    _sandboxes: Sequence[Sandbox] = field(init=False)
    _of_task: dict[str, Sandbox] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make the twins; equal secrets let each know the others' ids."""
        self._sandboxes = [create(self._settings_of(seconds)) for seconds in self.latencies]
        self._next = cycle(zip(self._sandboxes, self.latencies, strict=True))

    @property
    def app(self) -> ASGIApp:
        """All of them, as one application."""
        return self

    async def aclose(self) -> None:
        """Drop what is still owed."""
        for sandbox in self._sandboxes:
            await sandbox.aclose()

    def _settings_of(self, seconds: float) -> SandboxSettings:
        url = self.settings.callback_url
        return replace(
            self.settings, latency_seconds=seconds, callback_url=lambda vendor: None if self.lost else url(vendor)
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on to the twin that it is for."""
        path = str(scope.get("path", ""))
        kind = next((kind for part, kind in _KINDS.items() if part in path), None)
        if kind is not None:
            self.requests[kind] += 1
        if kind == "submission":
            await self._submit(scope, receive, send)
            return
        sandbox = self._of_task.get(path.rpartition("/")[2], self._sandboxes[0])
        await sandbox.app(scope, receive, send)

    async def _submit(self, scope: Scope, receive: Receive, send: Send) -> None:
        (sandbox, seconds), taken_at, body = next(self._next), asyncio.get_running_loop().time(), bytearray()

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.body":
                body.extend(message.get("body", b""))
                if not message.get("more_body"):  # noted before the answer is sent
                    task_id = str(json.loads(body)["task_id"])
                    self._of_task[task_id], self.done_at[task_id] = sandbox, taken_at + seconds
            await send(message)

        await sandbox.app(scope, receive, noted)


def spread(median_seconds: float, sigma: float, count: int) -> list[float]:
    """Return so many times of a log-normal distribution: the middles of as many equal parts of it."""
    normal = NormalDist()
    return [median_seconds * math.exp(sigma * normal.inv_cdf((part + 0.5) / count)) for part in range(count)]
