"""A small HTTP server on loopback: a test says what it answers, and sees what it was asked."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.loopback import Peer, answer, peer, read_request


@dataclass
class Asked:
    """One request as it came."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class VendorServer:
    """Where it listens, and what it was asked so far."""

    peer: Peer
    asked: list[Asked]

    @property
    def url(self) -> str:
        return self.peer.url


@asynccontextmanager
async def vendor_server(answers: Mapping[str, tuple[str, object]]) -> AsyncIterator[VendorServer]:
    """Answers each `METHOD target` with its status line and JSON body; anything else is a 404."""
    asked: list[Asked] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line, headers, body = await read_request(reader)
        method, target, _ = line.split(" ")
        asked.append(Asked(method, target, headers, body))
        status, reply = answers.get(f"{method} {target}", ("404 Not Found", {}))
        writer.write(answer(json.dumps(reply).encode(), status=status, headers="content-type: application/json\r\n"))

    async with peer(handle) as listening:
        yield VendorServer(listening, asked)
