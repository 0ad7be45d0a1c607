"""A customer's receiver of webhooks, and its behaviour at `/webhooks/<behaviour>`, some with a number behind.

It verifies webhooks with the `standardwebhooks` package and no code of ours.
"""

import asyncio
import contextlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from standardwebhooks import Webhook, WebhookVerificationError
from standardwebhooks.webhooks import EmptyWebhookSecretError
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from service.kit.clock import Clock
from service.kit.system_clock import system_clock
from service.sandbox.counters import CallCounter
from service.sandbox.faults import DelayedResponse, Reset

_PATH: Final = re.compile(r"/webhooks/([a-z-]+)(?:/([0-9]{1,4}))?(?:/|$)")
_FOREVER_SECONDS: Final = 600.0
_REFUSING: Final = range(300, 600)
_ELSEWHERE: Final = "/webhooks/elsewhere"

# By the path's number (1 where it has none) and the tries before: the answer, or None where the webhook is taken.
_ANSWERS: Final[Mapping[str, Callable[[int, int], Response | None]]] = {
    "status": lambda status, _: Response(status_code=status) if status in _REFUSING else None,
    "gone": lambda _number, _: Response(status_code=410),
    "redirect": lambda _number, _: RedirectResponse(_ELSEWHERE, status_code=302),
    "throttled": lambda seconds, tries: None if tries else _throttled(seconds),
    "slow": lambda _seconds, _: None,
    "timeout": lambda _number, _: DelayedResponse(None, _FOREVER_SECONDS),
    "reset": lambda _number, _: Reset(),
    "fail-first": lambda count, tries: Response(status_code=500) if tries < count else None,
}

BEHAVIOURS: Final = frozenset(_ANSWERS)
"""Every behaviour a path may name. At any other path webhooks are taken."""


@dataclass(frozen=True)
class ReceiverBehaviour:
    """The way in which webhooks are answered at one path."""

    name: str
    number: int = 1

    @staticmethod
    def at(path: str) -> "ReceiverBehaviour | None":
        """Return the behaviour that the path names, if it names one."""
        found = _PATH.search(path)
        return ReceiverBehaviour(found[1], int(found[2] or 1)) if found and found[1] in BEHAVIOURS else None

    def refusal(self, tries: int) -> Response | None:
        """Return the answer to a webhook that was tried so often before; None if it is taken."""
        return _ANSWERS[self.name](self.number, tries)

    @property
    def pause_seconds(self) -> float:
        """The pause before the receiver answers that it has taken a webhook."""
        return self.number if self.name == "slow" else 0


def _throttled(seconds: int) -> Response:
    return Response(status_code=429, headers={"Retry-After": str(seconds)})


@dataclass(frozen=True)
class Received:
    """One webhook as it came in; header names in lower case."""

    webhook_id: str | None
    verified: bool
    body: bytes
    headers: dict[str, str]
    at: datetime
    path: str = "/"


class Receiver:
    """Takes POSTs at any path: 204 if the signature holds, 400 if not. Some paths have behaviours of their own.

    `secret` is asked for each time, so it may be known only after the endpoint was registered. A verified webhook
    whose `webhook-id` was seen before is taken again with 204, but counted in `duplicates` and not kept. What was
    verified but, by the path's behaviour, not taken is in `refused`.
    """

    def __init__(self, secret: Callable[[], str | None], clock: Clock = system_clock) -> None:
        self.received: list[Received] = []
        self.refused: list[Received] = []
        self.duplicates = 0
        self.app = Starlette(routes=[Route("/{path:path}", self._take, methods=["POST"])])
        self._secret = secret
        self._clock = clock
        self._tries = CallCounter()
        self._seen: set[str | None] = set()
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def wait_for(self, predicate: Callable[[Received], bool], timeout_seconds: float) -> Received:
        """Return the first webhook that satisfies `predicate`, received before or later. Raise TimeoutError.

        May be awaited in another thread's event loop than the one that serves the receiver.
        """
        arrived = asyncio.Event()
        waiter = (asyncio.get_running_loop(), arrived)
        self._waiting.append(waiter)
        try:
            async with asyncio.timeout(timeout_seconds):
                while True:
                    arrived.clear()
                    for one in list(self.received):
                        if predicate(one):
                            return one
                    await arrived.wait()
        finally:
            self._waiting.remove(waiter)

    async def _take(self, request: Request) -> Response:
        try:
            body = await request.body()
        except ClientDisconnect:
            return Response(status_code=400)
        headers = {name.lower(): value for name, value in request.headers.items()}
        verified = self._verified(body, headers)
        one = Received(headers.get("webhook-id"), verified, body, headers, self._clock(), request.url.path)
        return self._answer(one)

    def _answer(self, one: Received) -> Response:
        behaviour = ReceiverBehaviour.at(one.path) if one.verified else None
        if behaviour is None:
            self._keep(one)
            return Response(status_code=204 if one.verified else 400)
        refusal = behaviour.refusal(self._tries.count(f"{one.path} {one.webhook_id}"))
        if refusal is not None:
            self.refused.append(one)
            return refusal
        self._keep(one)
        return DelayedResponse(None, behaviour.pause_seconds) if behaviour.pause_seconds else Response(status_code=204)

    def _verified(self, body: bytes, headers: dict[str, str]) -> bool:
        secret = self._secret()
        if secret is None:
            return False
        try:
            Webhook(secret).verify(body, headers)
        except (WebhookVerificationError, EmptyWebhookSecretError):
            return False
        except (ValueError, RecursionError):  # the package lets base64, UTF-8 and JSON errors through
            return False
        return True

    def _keep(self, one: Received) -> None:
        if one.verified and one.webhook_id in self._seen:
            self.duplicates += 1
            return
        if one.verified:
            self._seen.add(one.webhook_id)
        self.received.append(one)
        for loop, arrived in list(self._waiting):
            with contextlib.suppress(RuntimeError):  # that loop may just have closed
                loop.call_soon_threadsafe(arrived.set)
