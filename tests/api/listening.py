"""A reader of server-sent events on a real socket, which cuts the stream by the standard's letter, on its own."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.waiting import until


@dataclass
class Reader:
    """What came so far. `ended` is set once the server has ended the stream cleanly."""

    response: httpx.Response
    blocks: list[dict[str, str]] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def said(self) -> list[tuple[str, Any]]:
        """Each event: its name and what it carries."""
        return [(one["event"], json.loads(one["data"])) for one in self.blocks if "data" in one]

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.said]

    @property
    def last_id(self) -> str:
        """What a reader would send as `Last-Event-ID`."""
        return [one["id"] for one in self.blocks if "id" in one][-1]

    async def hears(self, count: int, seconds: float = 10) -> None:
        """So many events have come."""
        await until(lambda: len(self.said) >= count, seconds=seconds)

    async def follow(self) -> None:
        """Every line is taken until the server ends the stream."""
        block: dict[str, str] = {}
        async for line in self.response.aiter_lines():
            if not line:
                if block:
                    self.blocks.append(block)
                block = {}
            elif line.startswith(":"):
                self.comments.append(line)
            else:
                name, _, value = line.partition(": ")
                assert name in ("id", "event", "data", "retry"), line
                assert name not in block
                block[name] = value
        self.ended.set()


@asynccontextmanager
async def listening(
    client: httpx.AsyncClient, path: str, key: dict[str, str], *, last: str | None = None, **query: str
) -> AsyncIterator[Reader]:
    """Open a stream and read it; close the connection in the end."""
    headers = key | ({"Last-Event-ID": last} if last is not None else {})
    async with client.stream("GET", path, headers=headers, params=query) as response:
        assert response.status_code == 200, await response.aread()
        assert response.headers["content-type"] == "text/event-stream"
        reader = Reader(response)
        task = asyncio.create_task(reader.follow())
        try:
            yield reader
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
