"""`POST /v1/media` over a real socket: what a customer sends is what is kept, once."""

import hashlib
import itertools
import select
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs

from service.accounts.api_keys import account_named, create
from service.api.v1.media import ROUTES
from service.kit.db.database import Database
from service.kit.ids import is_id
from service.media.room import Rooms
from tests.api.doors import DEADLINE_SECONDS, NOW, app_of, bearer, context_on, served
from tests.media import sounds
from tests.waiting import until


@pytest.fixture
def client(database: Database, tmp_path: Path) -> Iterator[httpx.Client]:
    context = context_on(database, tmp_path / "staging")
    with served(app_of(ROUTES, context)) as open_client:
        open_client.headers.update(bearer(database))
        yield open_client


def send(client: httpx.Client, data: bytes, name: str = "song.wav") -> httpx.Response:
    return client.post("/v1/media", files={"file": (name, data, "audio/whatever")})


def test_a_form_is_kept_and_described(client: httpx.Client, tmp_path: Path) -> None:
    data = sounds.wav(200)
    answer = send(client, data)
    assert answer.status_code == 201
    body = answer.json()
    assert is_id(body.pop("id"), "med")
    assert body == {
        "mode": "live",
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "filename": "song.wav",
        "content_type": "audio/wav",
        "duration_ms": 200_000,
        "created_at": "2026-11-20T12:00:00.000Z",
    }
    assert list((tmp_path / "staging").iterdir()) == []


def test_the_same_bytes_again_are_200_with_the_first_object(client: httpx.Client) -> None:
    first = send(client, sounds.wav())
    again = client.post("/v1/media?filename=b.wav", content=sounds.wav(), headers={"Content-Type": "audio/wav"})
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()


def test_a_raw_body_without_a_name_gets_one(client: httpx.Client) -> None:
    answer = client.post("/v1/media", content=sounds.mp3(), headers={"Content-Type": "audio/mpeg"})
    assert (answer.status_code, answer.json()["filename"]) == (201, "audio.mp3")


def test_a_test_key_keeps_apart_what_is_called_differently(client: httpx.Client, database: Database) -> None:
    client.headers.update(bearer(database, mode="test"))
    answers = [send(client, sounds.wav(), name) for name in ("a.wav", "a.ai.wav", "a.wav")]
    assert [answer.status_code for answer in answers] == [201, 201, 200]
    assert answers[0].json()["mode"] == "test"
    assert answers[0].json()["id"] == answers[2].json()["id"] != answers[1].json()["id"]


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"", 422, "empty_media"),
        (b"these are words", 415, "unsupported_media"),
        (b"<html>" * 200_000, 415, "unsupported_media"),
        (sounds.wav(250) + bytes(10_000), 413, "media_too_large"),
        (sounds.wav(2000), 413, "media_too_large"),
    ],
)
def test_what_cannot_be_taken_is_refused_and_the_connection_goes_on(
    client: httpx.Client, data: bytes, status: int, code: str
) -> None:
    answer = send(client, data)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert send(client, sounds.wav()).status_code == 201


def test_a_body_that_never_announces_its_length_is_answered_at_the_cap(client: httpx.Client) -> None:
    """The server goes on reading after its answer, so the sender here looks for one between its pieces."""
    url, key = client.base_url, client.headers["Authorization"]
    head = f"POST /v1/media HTTP/1.1\r\nHost: relay\r\nAuthorization: {key}\r\nContent-Type: audio/wav\r\n"
    with socket.create_connection((url.host, url.port), timeout=DEADLINE_SECONDS) as connection:
        connection.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        sent = 0
        for piece in itertools.chain([sounds.wav(0.1)], itertools.repeat(bytes(65_536))):
            connection.sendall(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            sent += len(piece)
            if select.select([connection], [], [], 0)[0]:
                break
            assert sent < 100_000_000, "no answer at all"
        answer = connection.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"media_too_large" in answer


async def test_a_sender_that_hangs_up_leaves_nothing_and_is_no_failure_of_ours(
    client: httpx.Client, tmp_path: Path
) -> None:
    url, key = client.base_url, client.headers["Authorization"]
    head = f"POST /v1/media HTTP/1.1\r\nHost: relay\r\nAuthorization: {key}\r\nContent-Type: audio/wav\r\n"
    staging = tmp_path / "staging"
    with capture_logs() as logged:
        with socket.create_connection((url.host, url.port), timeout=DEADLINE_SECONDS) as connection:
            connection.sendall(f"{head}Content-Length: 1000000\r\n\r\n".encode() + sounds.wav(60))
            await until(lambda: staging.exists() and any(staging.iterdir()))
        await until(lambda: not any(staging.iterdir()))
        assert send(client, sounds.wav()).status_code == 201
    assert logged == []


def test_without_the_scope_nothing_is_read(client: httpx.Client, database: Database) -> None:
    client.headers.update(bearer(database, scopes=["detections:read"]))
    assert send(client, sounds.wav()).status_code == 403
    del client.headers["Authorization"]
    assert send(client, sounds.wav()).status_code == 401


def test_an_address_with_another_method_is_405(client: httpx.Client) -> None:
    answer = client.get("/v1/media")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


def test_an_account_without_room_is_told_the_figures_and_another_is_served(database: Database, tmp_path: Path) -> None:
    rooms = Rooms(database, lambda: NOW, kept=3 * len(sounds.wav()) // 2)
    context = replace(context_on(database, tmp_path), rooms=rooms)
    with served(app_of(ROUTES, context)) as client:
        client.headers.update(bearer(database))
        assert send(client, sounds.wav()).status_code == 201
        refused = send(client, sounds.wav(2))
        assert (refused.status_code, refused.json()["code"]) == (429, "media_quota_exceeded")
        assert f"{len(sounds.wav()):,} of {3 * len(sounds.wav()) // 2:,} bytes stored" in refused.json()["detail"]
        with database.writing() as session:
            other = create(session, account_named(session, "Other", NOW).id, "live", NOW)
        client.headers["Authorization"] = f"Bearer {other.text}"
        assert send(client, sounds.wav()).status_code == 201
    assert list(tmp_path.glob("relay-incoming-*")) == []
