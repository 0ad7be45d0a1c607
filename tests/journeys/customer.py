"""What a customer does, through the API alone."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from service.sandbox.track import write_track
from tests.waiting import until

_WAITS, _WAIT_SECONDS = 16, 2  # 8 a second at most, of the 10 that a key has


@dataclass(frozen=True)
class Customer:
    """A client with a key, which may have only so many waits open, and ask so often."""

    client: httpx.AsyncClient
    waits: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_WAITS))

    async def register(self, url: str, *events: str) -> str:
        """The signing secret of a fresh endpoint."""
        body = {"url": url, "events": list(events) or ["detection.*"]}
        secret: str = (await self.post("/v1/webhook-endpoints", json=body))["secret"]
        return secret

    async def upload(self, folder: Path, name: str = "song.wav", seconds: float = 1) -> str:
        """The id of media with this name."""
        path = folder / name
        await asyncio.to_thread(write_track, path, seconds)
        media_id: str = (await self.post("/v1/media", files={"file": (name, path.read_bytes())}))["id"]
        return media_id

    async def ask(self, media_id: str, **more: Any) -> str:
        """The id of a detection for this media."""
        body = {"source": {"media_id": media_id}, **more}
        detection_id: str = (await self.post("/v1/detections", json=body))["id"]
        return detection_id

    async def post(self, path: str, **request: Any) -> dict[str, Any]:
        """The answer to a POST that succeeded."""
        response = await self.client.post(path, **request)
        assert response.is_success, response.text
        body: dict[str, Any] = response.json()
        return body

    async def result(self, detection_id: str, wait_seconds: int = 0) -> dict[str, Any]:
        """The result as it stands, or as it ends within the wait."""
        response = await self.client.get(f"/v1/detections/{detection_id}", params={"wait": wait_seconds})
        assert response.status_code == 200, response.text
        body: dict[str, Any] = response.json()
        return body

    async def ended(self, detection_id: str, seconds: float = 40) -> dict[str, Any]:
        """The final result."""
        last: dict[str, Any] = {}

        async def is_over() -> bool:
            try:
                async with self.waits:
                    last.update(await self.result(detection_id, wait_seconds=_WAIT_SECONDS))
            except httpx.TransportError:
                return False
            return last["completed_at"] is not None

        await until(is_over, seconds=seconds)
        return last


def customer(url: str, key: str) -> httpx.AsyncClient:
    """The HTTP client behind a `Customer`."""
    return httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=30)
