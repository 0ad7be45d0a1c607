"""The load: clients that each upload a recording of their own, ask, and wait for the webhook before they go on."""

import asyncio
import io
import secrets
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp

from service.bench.driving.generator import BenchError, from_clients
from service.bench.driving.inbox import Inbox
from service.bench.driving.vendor import DETECTOR
from service.sandbox.track import write_track

PATIENCE_SECONDS = 120.0
_UNIQUE_BYTES = 16
_NAMES = count(1)


@dataclass(frozen=True, slots=True)
class Passage:
    """The seconds one detection took: to be uploaded, to be asked, and from the start to its webhook."""

    upload: float
    ask: float
    whole: float


@dataclass(frozen=True)
class Customer:
    """A client of the API, and where its webhooks come in."""

    session: aiohttp.ClientSession
    inbox: Inbox

    async def register(self, inbox_url: str) -> None:
        """Make the endpoint that is looked at, which wants final events alone."""
        self.inbox.secret = await self.add_endpoint(f"{inbox_url}/")

    async def add_endpoint(self, url: str) -> str:
        """Make an endpoint that wants final events alone, and return its secret."""
        body = {"url": url, "events": ["detection.completed", "detection.failed"]}
        return str((await self._post("/v1/webhook-endpoints", json=body))["secret"])

    async def upload(self, audio: bytes) -> str:
        """Return the id of this recording, once it is stored."""
        form = aiohttp.FormData()
        form.add_field("file", io.BytesIO(audio), filename=f"bench-{next(_NAMES)}.ai.wav")
        return str((await self._post("/v1/media", data=form))["id"])

    async def ask(self, media_id: str) -> str:
        """Return the id of a new detection of this recording."""
        question = {"source": {"media_id": media_id}, "detectors": [DETECTOR]}
        return str((await self._post("/v1/detections", json=question))["id"])

    async def read(self, detection_id: str) -> Mapping[str, Any]:
        """Return the detection as it is now."""
        return await self._answer("GET", f"/v1/detections/{detection_id}")

    async def detect(self, *, patience: float = PATIENCE_SECONDS) -> Passage:
        """Take one new recording all the way. Raise `BenchError` if it came to no verdict in time."""
        now = asyncio.get_running_loop().time
        started = now()
        media_id = await self.upload(recording())
        uploaded = now()
        detection_id = await self.ask(media_id)
        asked = now()
        try:
            arrived = await self.inbox.wait_for(detection_id, patience)
        except TimeoutError:
            raise BenchError(f"{detection_id}: no webhook within {patience:.0f} s") from None
        if self.inbox.verdicts[detection_id] is None:
            raise BenchError(f"{detection_id}: ended without a verdict")
        return Passage(uploaded - started, asked - uploaded, arrived - started)

    async def detect_many(self, total: int, clients: int) -> tuple[list[Passage], float]:
        """Take `total` recordings all the way, `clients` at once. Return how each fared, and the seconds for all."""
        passages: list[Passage] = []

        async def one(_: int) -> None:
            passages.append(await self.detect())

        return passages, await from_clients(clients, total, one)

    async def _post(self, path: str, **request: Any) -> Mapping[str, Any]:
        return await self._answer("POST", path, **request)

    async def _answer(self, method: str, path: str, **request: Any) -> Mapping[str, Any]:
        async with self.session.request(method, path, **request) as answer:
            body: Mapping[str, Any] = await answer.json(content_type=None)
            if not answer.ok:
                raise BenchError(f"{method} {path}: {answer.status} {body.get('detail')}")
            return body


def recording() -> bytes:
    """Return a second of sound that was never sent before: the same audio would share an answer."""
    return _track()[:-_UNIQUE_BYTES] + secrets.token_bytes(_UNIQUE_BYTES)


@cache
def _track() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "track.wav"
        write_track(path, 1)
        return path.read_bytes()
