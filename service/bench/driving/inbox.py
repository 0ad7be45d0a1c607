"""The customer's side of a measurement: an endpoint that verifies each webhook and tells when a detection's came."""

import asyncio
import json
from dataclasses import dataclass, field

from standardwebhooks import Webhook
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


@dataclass
class Inbox:
    """Takes final webhooks. `secret` is known once the endpoint was registered."""

    secret: str = ""
    arrived: dict[str, float] = field(default_factory=dict)
    """When the first webhook of each detection came, by the event loop's clock."""
    verdicts: dict[str, str | None] = field(default_factory=dict)
    """The verdict that webhook carried."""
    _waiting: dict[str, asyncio.Future[None]] = field(default_factory=dict)

    @property
    def app(self) -> Starlette:
        """The endpoint."""
        return Starlette(routes=[Route("/", self._take, methods=["POST"])])

    async def wait_for(self, detection_id: str, within: float) -> float:
        """Return when the detection's webhook came, once it has. Raise `TimeoutError` after `within` seconds."""
        if detection_id not in self.arrived:
            waiting = self._waiting.setdefault(detection_id, asyncio.get_running_loop().create_future())
            async with asyncio.timeout(within):
                await waiting
        return self.arrived[detection_id]

    async def _take(self, request: Request) -> Response:
        now, body = asyncio.get_running_loop().time(), await request.body()
        Webhook(self.secret).verify(body, dict(request.headers))
        result = json.loads(body)["data"]
        if result["id"] not in self.arrived:
            self.arrived[result["id"]] = now
            self.verdicts[result["id"]] = result["verdict"]
            if (waiting := self._waiting.pop(result["id"], None)) and not waiting.done():
                waiting.set_result(None)
        return Response(status_code=204)
