"""The customer of a hammered deployment: receivers that answer by chance, and recordings that can be fetched."""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.journeys.outside import serving
from tests.media.sounds import wav

EVENTS = {"all": ["*"], "each": ["detection.*", "detector.completed"]}
"""Filters of the endpoints, by name."""
TOLD: dict[str, Callable[[str], bool]] = {
    "all": lambda kind: kind != "detector.completed",  # told only to who names it
    "each": lambda kind: kind == "detector.completed" or kind.startswith("detection."),
}
"""Types of events about detections that they let through."""
_STATUSES = {200: 80, 500: 10, 503: 6, 404: 3, 410: 1}


@dataclass
class Target:
    """What came, and the endpoints by name once they are registered."""

    random: Random
    url: str = ""
    calm: bool = False
    endpoints: dict[str, str] = field(default_factory=dict)
    taken: set[tuple[str, str]] = field(default_factory=set)
    """Endpoint and event of each webhook that was answered with 200."""
    answered: Counter[int] = field(default_factory=Counter)

    async def register(self, here: Any) -> None:
        """Make the endpoints."""
        for name, events in EVENTS.items():
            body = {"url": f"{self.url}/in/{name}", "events": events}
            made = await here.ask(here.processes[0].client, (201,), "POST", "/v1/webhook-endpoints", json=body)
            self.endpoints[name] = made["id"]

    async def calm_down(self, here: Any) -> None:
        """From now on take all, and what was held too."""
        self.calm = True
        for endpoint_id in self.endpoints.values():
            path = f"/v1/webhook-endpoints/{endpoint_id}/enable"
            await here.ask(here.processes[0].client, (200,), "POST", path, json={"release": "all"})

    async def receive(self, request: Request) -> Response:
        status = 200 if self.calm else self.random.choices([*_STATUSES], [*_STATUSES.values()])[0]
        self.answered[status] += 1
        if status == 200:
            self.taken.add((self.endpoints[request.path_params["name"]], request.headers["webhook-id"]))
        return Response(status_code=status, headers={"retry-after": "7"} if status == 503 else {})

    async def sound(self, request: Request) -> Response:
        if not self.calm and self.random.random() < 0.2:
            return Response(status_code=self.random.choice([404, 500, 503]))
        return Response(recording(request.path_params["number"]), media_type="audio/wav")

    @property
    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/in/{name}", self.receive, methods=["POST"]),
                Route("/sounds/{number:int}.wav", self.sound, methods=["GET"]),
            ]
        )


def recording(number: int) -> bytes:
    """Return a recording; another for each number."""
    return wav(0.05 + number // 100 / 8000, seed=number)


@asynccontextmanager
async def target(seed: int) -> AsyncIterator[Target]:
    """Yield a customer that listens."""
    one = Target(Random(f"{seed}:target"))
    async with serving(one.app) as one.url:
        yield one
