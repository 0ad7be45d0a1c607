"""A customer's receiver of webhooks, verifying them with the `standardwebhooks` package and no code of ours."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from standardwebhooks import Webhook, WebhookVerificationError
from standardwebhooks.webhooks import EmptyWebhookSecretError
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from service.kit.clock import Clock
from service.kit.system_clock import system_clock
from service.sandbox.call_counter import CallCounter
from service.sandbox.faults import DelayedResponse
from service.sandbox.receiver_behaviour import ReceiverBehaviour


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
