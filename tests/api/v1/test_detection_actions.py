"""Cancel, recheck, erase: the answers, the scopes that are required, and the audit log."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlmodel import col, select

from service.accounts.api_keys import account_named, create
from service.accounts.models import Audit
from service.api.v1 import detections, media
from service.kit.db.database import Database
from service.media.models import Media, MediaChunk
from tests.api.doors import NOW, app_of, bearer, client_of, context_on
from tests.detections.rows import World, add_media, policy_of
from tests.detections.scripted import asc, job, said

_DOORS = ["POST cancel", "POST recheck", "DELETE ", "DELETE media"]


@dataclass
class Door:
    """The doors, a caller of the account `Acme`, and a detection that its vendor answers at once, twice."""

    client: httpx.AsyncClient
    here: World
    key: dict[str, str]
    detection_id: str
    media_id: str

    async def knock(self, what: str, key: dict[str, str] | None = None, **more: Any) -> httpx.Response:
        """`POST cancel`, `POST recheck`, `DELETE ` or `DELETE media`."""
        method, word = what.split(" ")
        path = f"/v1/media/{self.media_id}" if word == "media" else f"/v1/detections/{self.detection_id}/{word}"
        return await self.client.request(method, path.rstrip("/"), headers=self.key if key is None else key, **more)

    async def read(self, query: str = "") -> httpx.Response:
        return await self.client.get(f"/v1/detections/{self.detection_id}{query}", headers=self.key)

    def noted(self) -> list[str]:
        with self.here.database.reading() as session:
            lines = session.exec(select(Audit).order_by(col(Audit.id)))
            return [f"{line.action} {line.subject}" for line in lines if line.action.startswith(("detection", "media"))]


@pytest.fixture
async def door(database: Database, tmp_path: Path) -> AsyncIterator[Door]:
    here = World(database, policy_of(asc(submits=[said("ai"), job("j2")], fetches=[said("human")])))
    context = replace(context_on(database, tmp_path), policy=here.policy, clock=here.clock)
    key = bearer(database)
    with database.writing() as session:
        account = account_named(session, "Acme", NOW).id
        media_id = add_media(session, account=account).id
    detection_id = here.submit("asc", account_id=account, source_url=None, media_id=media_id)
    async with client_of(app_of([*detections.ROUTES, *media.ROUTES], context)) as client:
        yield Door(client, here, key, detection_id, media_id)


async def test_a_running_detection_is_cancelled_once(door: Door) -> None:
    found = await door.knock("POST cancel", json={})
    assert (found.status_code, found.json()["status"], found.json()["revision"]) == (200, "cancelled", 1)
    again = await door.knock("POST cancel")
    assert (again.status_code, again.json()["code"]) == (409, "already_ended")
    assert door.noted() == [f"detection.cancelled {door.detection_id}"]


async def test_an_ended_detection_is_asked_again_and_its_revisions_can_be_read(door: Door) -> None:
    early = await door.knock("POST recheck")
    assert (early.status_code, early.json()["code"]) == (409, "not_ended")
    await door.here.dispatch()
    found = await door.knock("POST recheck")
    body = found.json()
    assert (found.status_code, body["status"], body["verdict"], body["revision"]) == (202, "running", None, 2)
    assert (await door.read()).json() == body
    assert (await door.read("?revision=1")).json()["verdict"] == "ai_generated"
    assert (await door.read("?revision=2&wait=25")).status_code == 404
    await door.here.dispatch()
    door.here.clock.turn(45)
    await door.here.poll()
    assert (await door.read("?revision=2")).json() == (await door.read()).json()
    assert (await door.read("?revision=1&detail=summary")).json()["revision"] == 1
    assert door.noted() == [f"detection.rechecked {door.detection_id}"]


@pytest.mark.parametrize("query", ["revision=0", "revision=a", "revision=", "revision=-1", "revision=1.0"])
async def test_a_malformed_revision_is_named(door: Door, query: str) -> None:
    found = await door.read(f"?{query}")
    assert (found.status_code, found.json()["errors"][0]["pointer"]) == (422, "revision")


async def test_a_detection_is_erased_once_it_has_ended_and_stays_erased(door: Door) -> None:
    early = await door.knock("DELETE ")
    assert (early.status_code, early.json()["code"]) == (409, "not_ended")
    await door.here.dispatch()
    for _ in range(2):
        assert (await door.knock("DELETE ")).status_code == 204
    left = (await door.read()).json()
    assert (left["verdict"], left["metadata"], left["erased_at"]) == ("ai_generated", {}, "2026-11-20T12:00:00.000Z")
    assert (await door.knock("POST recheck")).json()["code"] == "erased"
    assert door.noted() == [f"detection.erased {door.detection_id}"]


async def test_audio_is_erased_once_nobody_needs_it(door: Door) -> None:
    early = await door.knock("DELETE media")
    assert (early.status_code, early.json()["code"]) == (409, "media_in_use")
    await door.here.dispatch()
    for _ in range(2):
        assert (await door.knock("DELETE media")).status_code == 204
    with door.here.database.reading() as session:
        assert session.exec(select(MediaChunk.media_id)).all() == []
        media = session.get_one(Media, door.media_id)
    assert (media.erased_at, media.delete_after, len(media.sha256)) == (NOW, None, 64)
    assert (await door.knock("POST recheck")).json()["code"] == "media_erased"
    assert door.noted() == [f"media.erased {door.media_id}"]


@pytest.mark.parametrize("what", _DOORS)
async def test_somebody_elses_object_is_none(door: Door, what: str) -> None:
    await door.here.dispatch()
    with door.here.database.writing() as session:
        other = create(session, account_named(session, "Other", NOW).id, "live", NOW).text
    for key in ({"Authorization": f"Bearer {other}"}, bearer(door.here.database, mode="test")):
        assert (await door.knock(what, key)).status_code == 404
    door.detection_id = door.media_id = "%00"
    assert (await door.knock(what)).status_code == 404
    assert door.noted() == []


@pytest.mark.parametrize("what", _DOORS)
async def test_reading_keys_change_nothing(door: Door, what: str) -> None:
    reader = bearer(door.here.database, scopes=["detections:read"])
    assert (await door.knock(what, reader)).status_code == 403
    assert (await door.knock(what, {})).status_code == 401


@pytest.mark.parametrize("what", ["POST cancel", "POST recheck"])
async def test_a_body_says_nothing(door: Door, what: str) -> None:
    found = await door.knock(what, json={"reason": "x"})
    assert (found.status_code, found.json()["errors"][0]["pointer"]) == (422, "/reason")
    assert (await door.knock(what, content=b"[]")).status_code == 400
    assert door.noted() == []
