"""Answers as Pex gives them, an adapter to read them with, and a small Pex on loopback to talk to."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from service.detectors.exchange import Exchange
from service.detectors.port import Refused, RunContext
from service.detectors.reading import Reading
from service.vendors.pex import Pex, PexSettings
from tests.loopback import answer, peer, read_request
from tests.vendors.contract import KEY, NOW, exchange, raw, sample
from tests.vendors.vendor_server import Asked

REPLY = sample("pex", "detect_reply")
REFUSALS = ("invalid_file", "no_audio", "too_short", "too_long", "not_enough_music", "not_found")
STATUSES = ("ok", *REFUSALS, "error")
Answer = tuple[str, object]


@dataclass
class TurnedClock:
    """A clock that stands still until it is turned."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now

    def turn(self, **span: float) -> None:
        self.now += timedelta(**span)


def adapter(
    base_url: str = "http://vendor.invalid", clock: TurnedClock | None = None, talk: Exchange | None = None
) -> Pex:
    return Pex(
        PexSettings(base_url=base_url, client_id="client", client_secret=KEY),
        talk or exchange(),
        clock or TurnedClock(),
    )


def ask(**known: Any) -> RunContext:
    async def media() -> AsyncIterator[bytes]:
        yield b"RI"
        yield b"FF"

    return RunContext("run_1", "pex", None, "run_1.mp3", 4, "audio/mpeg", media, **known)


def read(body: object) -> Reading:
    found = adapter().read(raw(body), "pex")
    assert isinstance(found, Reading)
    assert adapter().parse_submit(raw(body)) == found
    return found


def refused(body: object, status: int = 200, **headers: str) -> Refused:
    found = adapter().parse_submit(raw(body, status, **headers))
    assert isinstance(found, Refused)
    return found


@dataclass
class PexServer:
    """What it was asked, and what it answers instead of a token or a result, from the front of the lists."""

    url: str = ""
    token_answers: list[Answer] = field(default_factory=list)
    detect_answers: list[Answer] = field(default_factory=list)
    expired: set[str] = field(default_factory=set)
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)  # before it is set, tokens are held back
    asked: list[Asked] = field(default_factory=list)

    @property
    def tokens_asked(self) -> list[Asked]:
        return [one for one in self.asked if one.target == "/oauth2/token"]

    @property
    def bearers(self) -> list[str]:
        """The tokens that came with requests to the detector."""
        return [one.headers["authorization"].partition(" ")[2] for one in self.asked if "/detect" in one.target]

    async def reply(self, asked: Asked) -> Answer:
        if asked.target == "/oauth2/token":
            number = len(self.tokens_asked)
            await self.may_answer.wait()
            fresh = {"access_token": token(number), "token_type": "Bearer", "expires_in": 7200}
            return self.token_answers.pop(0) if self.token_answers else ("200 OK", fresh)
        bearer = asked.headers["authorization"].partition(" ")[2]
        if bearer in self.expired:
            return "401 Unauthorized", {"status": "error", "message": f"token {bearer} has expired"}
        return self.detect_answers.pop(0) if self.detect_answers else ("200 OK", REPLY)


def token(number: int) -> str:
    return f"token/number+{number}/never_shown=="


@asynccontextmanager
async def pex_server() -> AsyncIterator[PexServer]:
    """A Pex that gives tokens and results as documented, unless told otherwise."""
    server = PexServer()
    server.may_answer.set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line, headers, body = await read_request(reader)
        method, target, _ = line.split(" ")
        asked = Asked(method, target, headers, body)
        server.asked.append(asked)
        status, reply = await server.reply(asked)
        writer.write(answer(json.dumps(reply).encode(), status=status, headers="content-type: application/json\r\n"))

    async with peer(handle) as listening:
        server.url = listening.url
        yield server
