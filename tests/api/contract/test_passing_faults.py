"""Each fault of ours that passes, at each route: 503 with its own code, nothing left behind, and it recovers."""

import asyncio
import errno
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route
from structlog.testing import capture_logs

from service.accounts.api_keys import SCOPES
from service.api.context import Context
from service.api.contract.document import document
from service.api.problems import FAULTS
from service.api.routes import ROUTES
from service.app import context_from
from service.kit.db.database import Database
from service.kit.faults import Fault
from service.media import ingest
from service.media.store import FileStore
from service.resources import open_resources
from service.sandbox.track import write_track
from service.settings import load_settings
from tests.api import troubles
from tests.api.doors import app_of, bearer, client_of, served
from tests.api.listening import listening
from tests.api.promise import Promise
from tests.journeys.outside import serving
from tests.waiting import until

pytestmark = pytest.mark.own_database

Trouble = Callable[[Database], AbstractContextManager[None]]
TOKEN = "a token for the scraper"
_TABLES = ("media", "media_chunk", "detection", "run", "event", "endpoint", "idempotency", "callback")
_NEEDS_NO_DATABASE = {"/livez", "/openapi.json", "/docs", "/docs/{asset}"}
_ENDLESS = {"/v1/events/stream", "/v1/detections/{detection_id}/stream"}
_NOT_THERE = {
    "asset": "none.css",
    "vendor": "aippim",
    "token": "none",
    "name": "a.wav",
    "delivery_id": "none",
    "event_id": "none",
}
PROMISE = Promise(document(ROUTES))
IDS = {(method, path): name for name, (method, path, _) in PROMISE.operations.items()}


@dataclass
class Door:
    """Every route of the product, a caller who may all, and objects to speak of."""

    client: httpx.AsyncClient
    context: Context
    folder: Path
    known: dict[str, str] = field(default_factory=dict)
    uploads: int = 0

    async def prepare(self) -> None:
        """There is one of each thing."""
        media = await self.ask("POST", "/v1/media")
        self.known["media_id"] = media.json()["id"]
        detection = await self.ask("POST", "/v1/detections")
        self.known["detection_id"] = detection.json()["id"]
        endpoint = await self.ask("POST", "/v1/webhook-endpoints")
        assert endpoint.status_code == 201, endpoint.text
        self.known["endpoint_id"] = endpoint.json()["id"]

    async def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Return the answer to a request that is valid as far as it can be."""
        address = path.format_map(_NOT_THERE | self.known)
        return await self.client.request(method, address, **(self.body_of(method, path) | more))

    def body_of(self, method: str, path: str) -> dict[str, Any]:
        if path == "/v1/media":
            self.uploads += 1  # the same bytes again would need no room
            return {"files": {"file": ("song.wav", (self.folder / "song.wav").read_bytes() + bytes(self.uploads))}}
        if path == "/metrics":
            return {"headers": {"Authorization": f"Bearer {TOKEN}"}}
        bodies: dict[tuple[str, str], Any] = {
            ("POST", "/v1/detections"): {"source": {"media_id": self.known.get("media_id")}, "force": True},
            ("POST", "/v1/webhook-endpoints"): {"url": "http://127.0.0.1:9999/x", "events": ["*"]},
            ("PATCH", "/v1/webhook-endpoints/{endpoint_id}"): {"description": "new"},
            ("POST", "/v1/webhook-endpoints/{endpoint_id}/recover"): {"since": "2026-11-01T00:00:00Z"},
            ("POST", "/callbacks/{vendor}/{token}"): {"task_id": "t1"},
        }
        if method in ("POST", "PATCH"):
            return {"json": bodies.get((method, path), {})}
        return {}

    def rows(self) -> dict[str, int]:
        """Return the number of rows that must not be left behind."""
        with self.context.database.reading() as session:
            count = session.connection().execute
            return {table: count(text(f"SELECT count(*) FROM {table}")).scalar_one() for table in _TABLES}  # noqa: S608 - the list above


def routes(*, endless: bool) -> Iterator[tuple[str, str]]:
    """Each method and path; what erases comes last."""
    found = [(method, route.path) for route in ROUTES for method in route.methods or ()]
    for method, path in sorted(found, key=lambda one: (one[0] == "DELETE", one[1], one[0])):
        if endless or path not in _ENDLESS or method != "GET":
            yield method, path


@pytest.fixture
async def door(database_url: str, tmp_path: Path) -> AsyncIterator[Door]:
    staging = tmp_path / "staging"
    settings = load_settings(
        database_url=database_url,
        media_store="database:",
        secret_keys=("a made-up secret key of enough characters",),
        metrics_token=TOKEN,
        outbound_https_only=False,
        outbound_allow=[ip_network("127.0.0.0/8")],
    )
    write_track(tmp_path / "song.wav", 1)
    async with open_resources(settings) as resources:
        context = replace(context_from(resources), staging=staging)
        key = await asyncio.to_thread(bearer, context.database, mode="test", scopes=sorted(SCOPES))
        async with client_of(app_of(ROUTES, context)) as client:
            client.headers.update(key)
            one = Door(client, context, tmp_path)
            await one.prepare()
            yield one


TROUBLES: list[tuple[Trouble, Fault]] = [
    (troubles.down, Fault.UNAVAILABLE),
    (troubles.out_of_connections, Fault.OVERLOADED),
    (troubles.read_only, Fault.READ_ONLY),
    (troubles.full, Fault.FULL),
]


@pytest.mark.parametrize(("trouble", "fault"), TROUBLES, ids=[fault.value for _, fault in TROUBLES])
async def test_each_fault_at_each_route_is_503_and_passes(door: Door, trouble: Trouble, fault: Fault) -> None:
    database = door.context.database
    reads = fault.of_writing or (database.is_sqlite and fault is Fault.OVERLOADED)
    before = door.rows()
    with capture_logs() as lines, trouble(database):
        answers = {(method, path): await door.ask(method, path) for method, path in routes(endless=not reads)}
    for (method, path), answer in answers.items():
        check(method, path, answer, fault)
    assert all("exc_info" not in line for line in lines if line["event"] != "callback.not_stored")
    assert sum(line["event"] == "request.unavailable" for line in lines) <= 1
    refused = {at for at, answer in answers.items() if answer.status_code == 503}
    assert ("POST", "/v1/media") in refused
    if fault is not Fault.FULL or not database.is_sqlite:  # there small rows fit on pages that exist
        assert {("POST", "/v1/detections"), ("POST", "/v1/webhook-endpoints")} <= refused
    if not reads:
        known = {(method, path) for method, path in routes(endless=True) if path.startswith("/v1/")}
        assert known <= refused
        left = {name: count - before[name] for name, count in door.rows().items() if name != "event"}
        assert not any(left.values()), left
    assert door.rows()["media_chunk"] == before["media_chunk"]
    assert list((door.folder / "staging").iterdir()) == []
    for method, path in routes(endless=False):
        answer = await door.ask(method, path)
        assert answer.status_code < 500, (method, path, answer.text)


def check(method: str, path: str, answer: httpx.Response, fault: Fault) -> None:
    """Fail the test if the answer is a failure, or a refusal for the fault that the document does not describe."""
    assert answer.status_code != 500, (method, path, answer.text)
    if path == "/readyz":
        assert answer.status_code == 503
        return
    if path not in _NEEDS_NO_DATABASE:
        PROMISE.check(IDS.get((method, path)) or IDS["GET", path], answer)
    if answer.status_code == 503:
        assert path not in _NEEDS_NO_DATABASE
        assert int(answer.headers["retry-after"]) > 0
        assert "connection" not in answer.headers
        if method != "HEAD":
            assert answer.json()["code"] == ("not_stored" if path.startswith("/callbacks") else fault.value)


@pytest.mark.parametrize(("trouble", "fault"), TROUBLES, ids=[fault.value for _, fault in TROUBLES])
async def test_where_nothing_can_be_written_a_process_is_not_ready(door: Door, trouble: Trouble, fault: Fault) -> None:
    with trouble(door.context.database):
        answer = await door.ask("GET", "/readyz")
        words = {Fault.READ_ONLY: "read_only", Fault.FULL: "full"}
        assert (answer.status_code, answer.json()["database"]) == (503, words.get(fault, "unreachable"))
        assert (await door.ask("GET", "/livez")).status_code == 200

    async def ready() -> bool:
        return (await door.ask("GET", "/readyz")).status_code == 200

    await until(ready)


async def test_a_write_that_failed_is_news_to_the_probe(door: Door) -> None:
    assert (await door.ask("GET", "/readyz")).status_code == 200
    with troubles.read_only(door.context.database):
        await door.ask("POST", "/v1/media")
        assert (await door.ask("GET", "/readyz")).status_code == 503


async def test_the_end_of_an_outage_is_told_once(door: Door) -> None:
    FAULTS.well()
    with capture_logs() as lines:
        with troubles.down(door.context.database):
            for _ in range(5):
                await door.ask("GET", "/v1/detections")
        for _ in range(3):
            await door.ask("GET", "/v1/detections")
    assert [line["event"] for line in lines] == ["request.unavailable", "request.recovered"]
    assert lines[1]["times"] == 5


def no_room(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("place", ["staging", "store"])
async def test_a_full_disk_for_audio_is_told_and_leaves_nothing(
    door: Door, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FileStore(door.folder / "media")
    context = replace(door.context, store=store)
    before = door.rows()
    async with client_of(app_of(ROUTES, context)) as client:
        with monkeypatch.context() as patched:
            if place == "staging":
                patched.setattr(ingest._Incoming, "_write", no_room)
            else:
                patched.setattr("service.media.store._move", no_room)
            files = {"file": ("other.wav", _other_song(door.folder))}
            answer = await client.post("/v1/media", files=files, headers=door.client.headers)
            assert (answer.status_code, answer.json()["code"]) == (503, "storage_full")
        assert door.rows() == before
        assert list((door.folder / "staging").iterdir()) == []
        assert [path for path in store.folder.rglob("*") if path.is_file()] == []
        answer = await client.post("/v1/media", files=files, headers=door.client.headers)
        assert answer.status_code == 201


def _other_song(folder: Path) -> bytes:
    write_track(folder / "other.wav", 2)
    return (folder / "other.wav").read_bytes()


async def test_a_folder_that_takes_nothing_makes_a_process_unready(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    context = replace(door.context, store=FileStore(door.folder / "media"))
    async with client_of(app_of(ROUTES, context)) as client:
        monkeypatch.setattr("service.media.store._write_and_drop", no_room)
        answer = await client.get("/readyz")
    assert (answer.status_code, answer.json()["database"]) == (503, "full")


async def test_a_stream_outlives_an_outage(door: Door) -> None:
    context = replace(door.context, heartbeat_seconds=0.2)
    database = context.database
    async with serving(app_of(ROUTES, context)) as base, httpx.AsyncClient(base_url=base, timeout=20) as client:
        key = {"Authorization": door.client.headers["authorization"]}
        async with listening(client, "/v1/events/stream", key) as reader:
            await until(lambda: reader.comments)
            with troubles.down(database):
                heard = len(reader.comments)
                await until(lambda: len(reader.comments) > heard + 1)
            assert not reader.ended.is_set()
            await door.ask("POST", "/v1/webhook-endpoints/{endpoint_id}/ping")
            await reader.hears(1)
        context.shutdown.begin()


def test_bytes_that_a_fault_breaks_off_end_short_and_are_logged_in_a_line() -> None:
    async def broken(*_: object) -> AsyncIterator[bytes]:
        yield b"the first half"
        raise OSError(errno.ENOSPC, "No space left on device")

    async def give(_request: Request) -> StreamingResponse:
        return StreamingResponse(broken(), headers={"Content-Length": "28"})

    FAULTS.well()
    with (
        capture_logs() as lines,
        served(app_of([Route("/half", give)])) as client,
        pytest.raises(httpx.RemoteProtocolError),
    ):
        client.get("/half")
    assert [(line["event"], "exc_info" in line) for line in lines] == [("request.unavailable", False)]
