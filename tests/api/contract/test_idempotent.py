"""`Idempotency-Key` at the doors: what a customer sees who sends a POST again."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlmodel import Session, func, select

from service.accounts.models import Idempotency
from service.api.routes import ROUTES
from service.api.v1.media import ROUTES as MEDIA
from service.kit.db.database import Database
from service.kit.http.guard import GuardPolicy
from service.media.models import Media, MediaChunk
from service.runs.state.models import Detection
from service.webhooks.models import Endpoint
from tests.api.doors import NOW, app_of, bearer, client_of, context_on, served
from tests.detections.rows import Hands, policy_of
from tests.detections.scripted import aippim, asc
from tests.media import sounds
from tests.webhooks.rows import SEALER

DETECTION = {"source": {"url": "https://cdn.example/song.mp3"}, "metadata": {"a": 1, "b": 2}}
ENDPOINT = {"url": "https://customer.example/in", "events": ["detection.*"]}
KEY = {"Idempotency-Key": "order 66"}


@pytest.fixture
def clock() -> Hands:
    return Hands(NOW)


@pytest.fixture
async def client(database: Database, tmp_path: Path, clock: Hands) -> AsyncIterator[httpx.AsyncClient]:
    database.wake.attach()
    context = replace(
        context_on(database, tmp_path),
        policy=policy_of(aippim(), asc()),
        guard=GuardPolicy(),
        sealer=SEALER,
        clock=clock,
    )
    async with client_of(app_of(ROUTES, context)) as opened:
        opened.headers.update(bearer(database))
        yield opened


def count(database: Database, table: type[Any]) -> int:
    with database.reading() as session:
        return session.exec(select(func.count()).select_from(table)).one()


def seen(answer: httpx.Response) -> tuple[int, bytes, str | None]:
    return answer.status_code, answer.content, answer.headers.get("location")


async def test_a_detection_sent_twice_is_one(client: httpx.AsyncClient, database: Database) -> None:
    first = await client.post("/v1/detections", json=DETECTION, headers=KEY)
    again = await client.post("/v1/detections", json=DETECTION, headers=KEY)
    assert first.status_code == 202
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert seen(again) == seen(first)
    assert count(database, Detection) == 1


async def test_an_endpoint_s_secret_is_shown_again_and_kept_sealed(
    client: httpx.AsyncClient, database: Database
) -> None:
    first = await client.post("/v1/webhook-endpoints", json=ENDPOINT, headers=KEY)
    again = await client.post("/v1/webhook-endpoints", json=ENDPOINT, headers=KEY)
    assert seen(again) == seen(first)
    secret = again.json()["secret"]
    assert secret.startswith("whsec_")
    with database.reading() as session:
        (kept,) = session.exec(select(Idempotency)).all()
    assert secret not in repr(kept)
    assert count(database, Endpoint) == 1


async def test_without_the_header_nothing_is_kept(client: httpx.AsyncClient, database: Database) -> None:
    for _ in range(2):
        assert (await client.post("/v1/detections", json=DETECTION)).status_code == 202
    assert (count(database, Detection), count(database, Idempotency)) == (2, 0)


async def test_space_and_the_order_of_members_do_not_matter(client: httpx.AsyncClient) -> None:
    same = b'{ "metadata": {"b":2, "a":1},\n"source": {"url": "https://cdn.example/song.mp3"}}'
    await client.post("/v1/detections", json=DETECTION, headers=KEY)
    again = await client.post("/v1/detections", content=same, headers=KEY)
    assert again.headers["idempotent-replayed"] == "true"


@pytest.mark.parametrize("other", [DETECTION | {"force": True}, DETECTION | {"metadata": {"a": True, "b": 2}}])
async def test_another_body_under_the_same_key_is_refused(
    client: httpx.AsyncClient, database: Database, other: dict[str, Any]
) -> None:
    await client.post("/v1/detections", json=DETECTION, headers=KEY)
    refused = await client.post("/v1/detections", json=other, headers=KEY)
    assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_key_reused")
    assert count(database, Detection) == 1


async def test_another_account_mode_or_route_may_use_the_same_key(
    client: httpx.AsyncClient, database: Database
) -> None:
    first = await client.post("/v1/webhook-endpoints", json=ENDPOINT, headers=KEY)
    other_mode = bearer(database, mode="test") | KEY
    others = [
        await client.post("/v1/webhook-endpoints", json=ENDPOINT, headers=other_mode),
        await client.post("/v1/detections", json=DETECTION, headers=KEY),
    ]
    assert [each.status_code for each in (first, *others)] == [201, 201, 202]
    assert not any("idempotent-replayed" in each.headers for each in others)


async def test_a_refused_request_keeps_nothing_and_may_be_mended(client: httpx.AsyncClient) -> None:
    wrong = await client.post("/v1/detections", json=DETECTION | {"detectors": ["nobody"]}, headers=KEY)
    mended = await client.post("/v1/detections", json=DETECTION, headers=KEY)
    assert (wrong.status_code, mended.status_code) == (422, 202)


async def test_what_was_accepted_is_answered_although_it_would_be_refused_now(
    client: httpx.AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await client.post("/v1/detections", json=DETECTION, headers=KEY)
    monkeypatch.setattr("service.api.v1.detection_bodies.unknown_names", _refuse_all)
    monkeypatch.setattr("service.api.bodies.check_url", _refuse_all)
    assert seen(await client.post("/v1/detections", json=DETECTION, headers=KEY)) == seen(first)


def _refuse_all(*_arguments: object) -> None:
    raise AssertionError("a repeated request is not judged again")


async def test_the_answer_is_kept_for_a_day(client: httpx.AsyncClient, database: Database, clock: Hands) -> None:
    await client.post("/v1/detections", json=DETECTION, headers=KEY)
    clock.turn(timedelta(hours=24).total_seconds())
    anew = await client.post("/v1/detections", json=DETECTION, headers=KEY)
    assert "idempotent-replayed" not in anew.headers
    assert count(database, Detection) == 2


@pytest.mark.parametrize("key", ["", "x" * 256, "ü", "a\tb"])
@pytest.mark.parametrize("path", ["/v1/detections", "/v1/media"])
async def test_an_unusable_key_is_refused(client: httpx.AsyncClient, database: Database, key: str, path: str) -> None:
    refused = await client.post(path, content=b"{}", headers=[(b"Idempotency-Key", key.encode())])
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_idempotency_key")


async def test_two_keys_are_refused_and_the_longest_is_taken(client: httpx.AsyncClient) -> None:
    both = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    assert (await client.post("/v1/detections", json=DETECTION, headers=both)).status_code == 400
    longest = {"Idempotency-Key": "~" * 255}
    assert (await client.post("/v1/detections", json=DETECTION, headers=longest)).status_code == 202


async def test_twins_at_the_same_moment_make_one_detection(client: httpx.AsyncClient, database: Database) -> None:
    answers = await asyncio.gather(*(client.post("/v1/detections", json=DETECTION, headers=KEY) for _ in range(8)))
    taken = [each for each in answers if each.status_code == 202]
    assert {each.status_code for each in answers} <= {202, 409}
    assert all(each.json()["code"] == "idempotency_key_in_use" for each in answers if each not in taken)
    assert len({each.content for each in taken}) == 1
    assert sum("idempotent-replayed" not in each.headers for each in taken) == 1
    assert count(database, Detection) == 1


@pytest.fixture
def uploads(database: Database, tmp_path: Path) -> Iterator[httpx.Client]:
    context = replace(context_on(database, tmp_path / "staging"), sealer=SEALER)
    with served(app_of(MEDIA, context)) as opened:
        opened.headers.update(bearer(database) | KEY)
        yield opened


def send(client: httpx.Client, data: bytes, name: str = "song.wav") -> httpx.Response:
    return client.post("/v1/media", files={"file": (name, data)})


def test_an_upload_sent_twice_gets_the_first_answer_whatever_its_boundaries(
    uploads: httpx.Client, database: Database
) -> None:
    first, again = send(uploads, sounds.wav()), send(uploads, sounds.wav())
    assert first.request.headers["content-type"] != again.request.headers["content-type"]
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["idempotent-replayed"] == "true"
    assert (count(database, Media), count(database, Idempotency)) == (1, 1)


def test_other_bytes_or_another_name_under_the_same_key_are_refused_and_nothing_of_them_stays(
    uploads: httpx.Client, database: Database, tmp_path: Path
) -> None:
    first = send(uploads, sounds.wav()).json()
    refused = [send(uploads, sounds.wav(seed=1)), send(uploads, sounds.wav(), "other.wav")]
    assert [each.json()["code"] for each in refused] == ["idempotency_key_reused"] * 2
    assert [each.status_code for each in refused] == [422, 422]
    assert count(database, Media) == 1
    assert list((tmp_path / "staging").iterdir()) == []
    assert _stored(database) == {first["id"]}


def test_an_upload_of_known_bytes_under_a_new_key_is_remembered_as_200(uploads: httpx.Client) -> None:
    send(uploads, sounds.wav())
    uploads.headers["Idempotency-Key"] = "order 67"
    known, again = send(uploads, sounds.wav()), send(uploads, sounds.wav())
    assert (known.status_code, again.status_code) == (200, 200)
    assert again.headers["idempotent-replayed"] == "true"


def test_an_upload_whose_media_was_erased_is_answered_as_the_first_time_and_stores_nothing(
    uploads: httpx.Client, database: Database
) -> None:
    first = send(uploads, sounds.wav())
    with database.writing() as session:
        _erase(session, NOW)
    assert send(uploads, sounds.wav()).content == first.content
    assert (count(database, Media), _stored(database)) == (1, {first.json()["id"]})


def test_an_upload_that_could_not_be_recorded_leaves_nothing(
    uploads: httpx.Client, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> None:
        raise RuntimeError("lightning")

    with monkeypatch.context() as struck:
        struck.setattr(SEALER, "seal", fail)
        assert send(uploads, sounds.wav()).status_code == 500
    assert (count(database, Media), count(database, Idempotency), _stored(database)) == (0, 0, set())
    assert send(uploads, sounds.wav()).status_code == 201


def _erase(session: Session, now: datetime) -> None:
    media = session.exec(select(Media)).one()
    media.erased_at = now


def _stored(database: Database) -> set[str]:
    """Return the media whose bytes are in the store."""
    with database.reading() as session:
        return set(session.exec(select(MediaChunk.media_id)))
