"""A request is answered alike at each door, whatever protocol it offers and however it names the door."""

import json
import re
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlmodel import select
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Mount

from service.accounts.api_keys import DEFAULT_SCOPES, account_named, create
from service.api import bodies
from service.app import create as create_app
from service.callbacks.models import Callback
from service.cli.http.serving import free_socket, serving, url_of
from service.kit.db.database import Database
from service.kit.system_clock import system_clock
from service.sandbox.app import create as create_sandbox
from service.settings import Settings
from tests.cli.raw_http import HOST, OFFER, ask
from tests.media.sounds import wav
from tests.sandbox.serving import SETTINGS

pytestmark = pytest.mark.timeout(60)
_JSON = b"Content-Type: application/json\r\n"
_NO_URL = b'{"url": "ftp://nowhere"}'


@dataclass(frozen=True)
class Open:
    """All doors, open: the service's port, that of the twins alone, a key and the database."""

    port: int
    twins: int
    key: bytes
    database: Database


@pytest.fixture
async def doors(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Open]:
    web, alone, database = free_socket(), free_socket(), Database(sqlite_url)
    chosen = Settings(
        database_url=sqlite_url,
        secret_keys=("a made-up secret key of enough characters",),
        public_url="https://relay.example",
        sandbox_url=url_of(web),
        media_store=f"file:{tmp_path / 'media'}",
    )
    with database.writing() as session:
        account = account_named(session, "integrator", system_clock())
        key = create(session, account.id, "test", system_clock(), scopes=DEFAULT_SCOPES).text
    sandbox = create_sandbox(SETTINGS)
    ports = [each.getsockname()[1] for each in (web, alone)]
    async with serving(create_app(chosen), web), serving(Starlette(routes=[Mount("/sandbox", sandbox.app)]), alone):
        yield Open(ports[0], ports[1], key.encode(), database)
        await sandbox.aclose()
    database.close()


def _requests(doors: Open) -> dict[str, tuple[int, bytes, bytes, bytes, int]]:
    """By door: its port, its address, headers and body, and the status of a request whose body has arrived."""
    bearer = b"Authorization: Bearer " + doors.key + b"\r\n"
    twin = b"X-API-Key: " + SETTINGS.api_key.encode() + b"\r\n"
    submit = b"/sandbox/asc/v1?action=analyze-url"
    return {
        "detections": (doors.port, b"/v1/detections", bearer + _JSON, b'{"source": {}}', 422),
        "media": (doors.port, b"/v1/media?filename=a.wav", bearer + b"Content-Type: audio/wav\r\n", wav(), 201),
        "callbacks": (doors.port, b"/callbacks/aippim/forged", _JSON, b'{"task_id": "t1"}', 401),
        "the twins alone": (doors.twins, submit, twin + _JSON, _NO_URL, 400),
    }


@pytest.mark.parametrize("door", ["detections", "media", "callbacks", "the twins alone"])
async def test_a_body_arrives_though_another_protocol_is_offered(doors: Open, door: str) -> None:
    port, address, headers, body, status = _requests(doors)[door]
    length = b"Content-Length: %d\r\n" % len(body)
    chunked, chunks = b"Transfer-Encoding: chunked\r\n", b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    codes = set[str]()
    for target, more, sent in [
        (address, length, body),
        (address, length + OFFER, body),
        (address, chunked + OFFER, chunks),
        (b"http://relay.test" + address, length, body),
        (b"http://relay.test" + address, OFFER + length, body),
    ]:
        heard = await ask(port, b"POST " + target + b" HTTP/1.1\r\n" + HOST + headers + more + b"\r\n" + sent)
        assert heard.statuses[0] == (200 if status == 201 and codes else status), heard
        codes.add(json.dumps(heard.json.get("code", heard.json.get("message", heard.json.get("sha256")))))
    assert len(codes) == 1  # and not, for one of them, that the body is no JSON
    if door == "callbacks":
        with doors.database.reading() as session:
            assert {row.body for row in session.exec(select(Callback))} == {body}


async def test_heads_without_limit_are_refused_at_every_door(doors: Open) -> None:
    for port in (doors.port, doors.twins):
        head = b"GET /livez HTTP/1.1\r\n" + HOST + (b"X-A: " + b"a" * 100_000 + b"\r\n") * 12 + b"\r\n"
        assert (await ask(port, head)).statuses == [431]


async def test_without_a_good_token_little_of_a_callback_is_waited_for(
    doors: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "STRANGERS_SECONDS", 0.3)
    head = b"POST /callbacks/aippim/forged HTTP/1.1\r\n" + HOST + _JSON
    for more, sent in [
        (b"Content-Length: 1048576\r\n", b"a" * 65_536),
        (b"Content-Length: 1048576\r\n", b"a"),
        (b"Content-Length: 104857600\r\n", b""),
        (b"Transfer-Encoding: chunked\r\n", b"10000\r\n" + b"a" * 65_536 + b"\r\n"),
    ]:
        heard = await ask(doors.port, head + more + b"\r\n" + sent, seconds=3)
        assert (heard.statuses, heard.json["code"]) == ([401], "callback_rejected")


async def test_a_small_body_that_does_not_end_is_answered_408_at_every_door(
    doors: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.3)
    key = b"Authorization: Bearer " + doors.key + b"\r\n"
    for path in (b"/v1/detections", b"/v1/webhook-endpoints", b"/v1/detections/x/recheck"):
        head = b"POST " + path + b" HTTP/1.1\r\n" + HOST + key + _JSON + b"Content-Length: 100\r\n\r\n{"
        heard = await ask(doors.port, head, answers=2, seconds=3)
        if heard.statuses == [404]:
            continue  # there is no such detection, which is known before
        assert (heard.statuses, heard.closed, heard.json["code"]) == ([408], True, "request_timeout")
        assert heard.header("content-type") == "application/problem+json"


async def test_without_a_key_no_body_is_waited_for(doors: Open) -> None:
    for path in (b"/v1/detections", b"/v1/media", b"/v1/webhook-endpoints"):
        head = b"POST " + path + b" HTTP/1.1\r\n" + HOST + _JSON + b"Content-Length: 1000000\r\n\r\n{"
        assert (await ask(doors.port, head, seconds=3)).statuses == [401]


async def test_the_twins_buffer_no_large_document(doors: Open) -> None:
    key = b"X-API-Key: " + SETTINGS.api_key.encode() + b"\r\n"
    head = b"POST /sandbox/asc/v1?action=analyze-url HTTP/1.1\r\n" + HOST + key + _JSON
    heard = await ask(doors.twins, head + b"Content-Length: 500000000\r\n\r\n" + b" " * 1_200_000, seconds=3)
    assert (heard.statuses, heard.json["message"]) == ([400], "Malformed JSON")


def _addresses(routes: Iterable[BaseRoute], mounted: str = "") -> Iterator[str]:
    """Each address of the table, its names filled in; a mount's own, and those below it."""
    for route in routes:
        path = mounted + re.sub(r"{[^}]+}", "x", getattr(route, "path", ""))
        if path not in ("", "/"):
            yield path
        yield from _addresses(getattr(route, "routes", None) or [], path)


def _table() -> list[str]:
    app = create_app(Settings(secret_keys=("a made-up secret key of enough characters",)))
    twins = create_sandbox(SETTINGS).app
    return sorted({*_addresses(app.routes), *_addresses(twins.routes, "/sandbox")})


@pytest.mark.parametrize("method", [b"GET", b"POST", b"OPTIONS"])
async def test_no_address_leads_elsewhere_with_or_without_a_slash(doors: Open, method: bytes) -> None:
    table = _table()
    assert {"/v1/detections", "/callbacks/x/x", "/sandbox", "/sandbox/asc", "/sandbox/asc/v1"} <= set(table)
    for path in table:
        for address in (path.encode(), path.encode() + b"/"):
            request = method + b" " + address + b" HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-Host: evil.example\r\n"
            heard = await ask(doors.port, request + b"Forwarded: host=evil.example\r\nContent-Length: 0\r\n\r\n")
            assert heard.statuses[0] not in range(300, 400), heard
            assert heard.header("location") is None
            assert b"evil.example" not in heard.raw
            if address.endswith(b"/") or path == "/sandbox":
                assert (heard.statuses[0], heard.header("content-type")) == (404, "application/problem+json"), heard


async def test_a_slash_too_many_is_named(doors: Open) -> None:
    for address in (b"/v1/detections/", b"/callbacks/aippim/x/", b"/sandbox/asc/v1/"):
        heard = await ask(doors.port, b"POST " + address + b" HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\n\r\n")
        assert (heard.statuses, heard.json["status"]) == ([404], 404)
        assert "without the slash" in heard.json["detail"]
    nowhere = await ask(doors.port, b"GET /nowhere/ HTTP/1.1\r\n" + HOST + b"\r\n")
    assert (nowhere.statuses, "slash" in nowhere.json["detail"]) == ([404], False)


def test_no_command_serves_in_another_way() -> None:
    service = Path(__file__).parents[2] / "service"
    using = {path for path in service.rglob("*.py") if "import uvicorn" in path.read_text(encoding="utf-8")}
    assert {path.name for path in using} == {"serving.py", "web.py", "bench.py"}
    for path in using:
        text = path.read_text(encoding="utf-8")
        told = len(re.findall(r"(?<!def )how_to_serve\(", text))
        assert told == text.count("uvicorn.run(") + text.count("uvicorn.Config(")
