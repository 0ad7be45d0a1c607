"""A service that answers as a test scripts it, written from the contract; and the commands, run against it."""

import asyncio
import json
import os
import signal
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from typer.testing import CliRunner, Result

from service.cli.commands import app
from tests.journeys.outside import serving
from tests.journeys.processes import Process

KEY = "vr_test_made-up"


@dataclass(frozen=True)
class Seen:
    """A request as it came in. `path` is as it was sent, without the query."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.raw) if self.raw else None


@dataclass
class StandIn:
    """Answers each request with the next answer of its address; the last one stays."""

    url: str = ""
    seen: list[Seen] = field(default_factory=list)
    answers: dict[str, list[Response]] = field(default_factory=lambda: defaultdict(list))

    def answer(self, request: str, *answers: object) -> None:
        """`GET /v1/…` is answered so: with a response, or 200 and JSON."""
        ready = [each if isinstance(each, Response) else JSONResponse(each) for each in answers]
        self.answers[request] += ready

    async def take(self, request: Request) -> Response:
        path = request.scope["raw_path"].decode()
        self.seen.append(
            Seen(request.method, path, dict(request.query_params), dict(request.headers), await request.body())
        )
        ready = self.answers.get(f"{request.method} {path}")
        if not ready:
            return problem(404, "not_found", "Not found: no operation has this path.")
        return ready.pop(0) if len(ready) > 1 else ready[0]

    def requests(self) -> list[tuple[str, str]]:
        return [(each.method, each.path) for each in self.seen]


@asynccontextmanager
async def stand_in() -> AsyncIterator[StandIn]:
    """It answers at `url`."""
    one = StandIn()
    methods = ["GET", "POST", "PATCH", "DELETE"]
    async with serving(Starlette(routes=[Route("/{path:path}", one.take, methods=methods)])) as one.url:
        yield one


def problem(status: int, code: str, detail: str, **more: Any) -> Response:
    """A refusal as RFC 9457 and the contract have it."""
    headers = more.pop("headers", None)
    body = {"type": "about:blank", "title": "", "status": status, "detail": detail, "code": code, **more}
    return JSONResponse(body, status, headers, media_type="application/problem+json")


async def relay(url: str, *arguments: str, **environment: str | None) -> Result:
    """The command has ended; it was told this address and a made-up key, and no proxy."""
    known: dict[str, str | None] = {"RELAY_URL": url, "RELAY_API_KEY": KEY, "RELAY_API_KEY_FILE": None, "COLUMNS": "80"}
    return await asyncio.to_thread(CliRunner().invoke, app, list(arguments), env=known | environment)


@contextmanager
def listening(url: str, folder: Path, *options: str, key: str = KEY, forked: bool = True) -> Iterator[Process]:
    """Run `relay listen`, as a developer starts it, and interrupt it at the end, which is no failure."""
    environment = {"PATH": os.environ["PATH"], "RELAY_URL": url, "RELAY_API_KEY": key}
    process = Process(["listen", *options], environment, folder / "listen.log", forked=forked)
    process.start()
    try:
        yield process
        process.running.send_signal(signal.SIGINT)
        assert process.running.wait(20) == 0, process.log
        assert "Traceback" not in process.log
    finally:
        if process.running.poll() is None:
            process.kill()


def result(detection_id: str = "det_1", status: str = "queued", **more: Any) -> dict[str, Any]:
    """A result in its short form, with one detector."""
    ended = status not in ("queued", "running")
    detector = {
        "detector": "asc",
        "status": "succeeded" if ended else "running",
        "verdict": "ai_generated" if ended else None,
        "reason_code": None,
        "score": {"value": 86, "max": 100} if ended else None,
        "obtained": {"via": "callback" if ended else None},
        "timing": {"wall_ms": 2100 if ended else None},
    }
    return {
        "id": detection_id,
        "revision": 1,
        "status": status,
        "verdict": "ai_generated" if ended else None,
        "agreement": "single" if ended else "none",
        "display": "1 of 1 detectors report AI-generated music" if ended else None,
        "track": {"filename": "song.wav", "audio_sha256": "ab" * 32},
        "detectors": [detector],
        "created_at": "2026-11-20T10:00:00.000Z",
        "completed_at": "2026-11-20T10:00:09.000Z" if ended else None,
        **more,
    }
