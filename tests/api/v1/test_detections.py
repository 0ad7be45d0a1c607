"""`/v1/detections`: asking, and being told all that is wrong with the question; reading, and waiting for the end."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.accounts.api_keys import account_named, create
from service.api.v1.detections import ROUTES
from service.detectors.enums import Authenticity, Via
from service.kit.db.database import Database
from service.kit.http.guard import GuardPolicy
from service.runs.inputs import VendorAnswer
from tests.api.doors import NOW, app_of, bearer, client_of, context_on
from tests.detections.rows import World, add_media, policy_of
from tests.detections.scripted import aippim, asc, said
from tests.runs.acting import observe
from tests.waiting import until

_URL = "https://cdn.example/my-song.ai.mp3"


@dataclass
class Door:
    """The door, a caller of the account `Acme`, and what is behind."""

    client: httpx.AsyncClient
    here: World
    key: dict[str, str]

    async def ask(self, document: object, **headers: str) -> httpx.Response:
        return await self.client.post("/v1/detections", json=document, headers={**self.key, **headers})

    async def faults(self, document: object) -> dict[str, str]:
        """Return the reported faults, by pointer."""
        found = await self.ask(document)
        assert (found.status_code, found.headers["content-type"]) == (422, "application/problem+json")
        assert self.here.runs() == []
        return {each["pointer"]: each["detail"] for each in found.json()["errors"]}

    async def read(self, detection_id: str, query: str = "", key: dict[str, str] | None = None) -> httpx.Response:
        return await self.client.get(f"/v1/detections/{detection_id}{query}", headers=key or self.key)

    def answer(self, word: str) -> None:
        with self.here.database.writing() as session:
            sighting = VendorAnswer(Via.POLL, said(word), asc().read(said(word), "asc"), Authenticity.TLS_FETCH)
            observe(session, self.here.run().id, sighting, self.here.policy, NOW)


@pytest.fixture
async def door(database: Database, tmp_path: Path) -> AsyncIterator[Door]:
    database.wake.attach()
    here = World(database, policy_of(aippim(), asc()))
    context = replace(context_on(database, tmp_path), policy=here.policy, guard=GuardPolicy(), clock=here.clock)
    async with client_of(app_of(ROUTES, context)) as client:
        yield Door(client, here, bearer(database))


def _media(door: Door, account: str = "Acme", mode: str = "live") -> str:
    with door.here.database.writing() as session:
        return add_media(session, account=account_named(session, account, NOW).id, mode=mode).id


async def test_a_question_whose_answer_is_stored_is_accepted_with_the_result(door: Door) -> None:
    document = {"source": {"media_id": _media(door)}, "detectors": ["asc"]}
    first = (await door.ask(document)).json()
    assert (first["status"], first["totals"]["from_cache"]) == ("queued", False)
    door.answer("ai")
    second = await door.ask(document)
    assert (second.status_code, second.headers["location"]) == (202, f"/v1/detections/{second.json()['id']}")
    assert (second.json()["status"], second.json()["verdict"]) == ("completed", "ai_generated")
    assert second.json()["totals"]["from_cache"] is True
    assert (await door.read(second.json()["id"])).json() == second.json()
    assert (await door.ask(document | {"force": True})).json()["status"] == "queued"


async def test_a_question_is_accepted_and_can_be_read_where_the_answer_says(door: Door) -> None:
    document = {
        "source": {"url": _URL},
        "detectors": ["asc", "aippim/pro"],
        "decision": {"rule": "majority", "quorum": 2},
        "external_id": "x" * 255,
        "metadata": {"isrc": "DE", "n": 1, "x": 1.5, "b": True, "none": None},
        "declared": {"ai": False},
        "answer_within_seconds": 30,
        "force": True,
    }
    found = await door.ask(document)
    body = found.json()
    assert (found.status_code, body["status"], body["verdict"], body["mode"]) == (202, "queued", None, "live")
    assert found.headers["location"] == f"/v1/detections/{body['id']}"
    assert (body["metadata"], body["declared"], body["external_id"]) == (
        document["metadata"],
        document["declared"],
        document["external_id"],
    )
    assert body["decision"]["detectors_expected"] == ["asc", "aippim/pro"]
    assert (await door.client.get(found.headers["location"], headers=door.key)).json() == body
    assert door.here.detection(body["id"]).source_name == "my-song.ai.mp3"


async def test_the_least_that_can_be_asked_asks_one_detector_of_each_vendor(door: Door) -> None:
    body = (await door.ask({"source": {"media_id": _media(door)}})).json()
    assert body["decision"] == {
        "rule": "consensus",
        "quorum": 1,
        "detectors_expected": ["aippim/standard", "asc"],
        "rule_version": "1",
    }
    assert [run.state for run in door.here.runs()] == ["queued", "queued"]


async def test_everything_that_is_wrong_is_said_at_once(door: Door) -> None:
    found = await door.faults(
        {
            "source": {"url": "http://169.254.169.254/x"},
            "detectors": ["asc", "pex"],
            "decision": {"quorum": True},
            "external_id": "x" * 256,
            "metadata": {"big": "x" * 2048},
            "answer_within_seconds": 29,
            "nonsense": 1,
        }
    )
    assert found.keys() == {
        "/source/url", "/detectors/1", "/decision/quorum", "/external_id", "/metadata", "/answer_within_seconds",
        "/nonsense",
    }  # fmt: skip
    assert found["/nonsense"] == "is not a known field"


async def test_what_the_rooms_refuse_is_said_with_what_the_door_refuses(door: Door) -> None:
    found = await door.faults(
        {"source": {"url": "https://10.0.0.1/x"}, "detectors": ["asc", "nobody"], "decision": {"quorum": 3}}
    )
    assert found.keys() == {"/source/url", "/detectors/1", "/decision/quorum"}
    assert "'nobody'" in found["/detectors/1"]


@pytest.mark.parametrize(
    ("changed", "pointer"),
    [
        ({"source": {}}, "/source"),
        ({"source": {"url": _URL, "media_id": "med_1"}}, "/source"),
        ({"source": None}, "/source"),
        ({"source": {"url": ""}}, "/source/url"),
        ({"source": {"url": "https://x.example/" + "a" * 2048}}, "/source/url"),
        ({"source": {"url": "http://x.example/a"}}, "/source/url"),
        ({"source": {"url": "https://2130706433/a"}}, "/source/url"),
        ({"source": {"url": "https://[::1]/a"}}, "/source/url"),
        ({"source": {"url": "https://x.example/a", "port": 1}}, "/source/port"),
        ({"source": {"url": "https://x.example/\0"}}, "/source/url"),
        ({"metadata": {f"k{n}": 1 for n in range(51)}}, "/metadata"),
        ({"metadata": {"nested": {}}}, "/metadata/nested"),
        ({"metadata": {"a": "\0"}}, "/metadata/a"),
        ({"detectors": []}, "/detectors"),
        ({"detectors": ["asc", "asc"]}, "/detectors"),
        ({"detectors": [1]}, "/detectors/0"),
        ({"decision": {"rule": "average"}}, "/decision/rule"),
        ({"decision": {"quorum": 0}}, "/decision/quorum"),
        ({"decision": {"rule": "cascade"}, "detectors": ["asc"]}, "/decision/rule"),
        ({"declared": {"ai": "no"}}, "/declared/ai"),
        ({"external_id": ""}, "/external_id"),
        ({"answer_within_seconds": 900.5}, "/answer_within_seconds"),
        ({"answer_within_seconds": 86401}, "/answer_within_seconds"),
        ({"force": 1}, "/force"),
    ],
)
async def test_a_fault_is_named_where_it_is(door: Door, changed: dict[str, Any], pointer: str) -> None:
    assert (await door.faults({"source": {"url": _URL}, **changed})).keys() == {pointer}


async def test_the_name_in_a_url_is_made_harmless(door: Door) -> None:
    found = await door.ask({"source": {"url": "https://x.example/a/%00..%2Fb%0A.ai.mp3?x=.human"}})
    assert found.status_code == 202
    assert door.here.detection(found.json()["id"]).source_name == ".._b.ai.mp3"


@pytest.mark.parametrize(("account", "mode"), [("Other", "live"), ("Acme", "test")])
async def test_media_of_another_account_or_mode_is_none(door: Door, account: str, mode: str) -> None:
    found = await door.faults({"source": {"media_id": _media(door, account, mode)}})
    assert found == {"/source/media_id": "No such media in this account."}


async def test_a_body_that_is_no_json_object_is_malformed(door: Door) -> None:
    for body in (b"", b"[]", b'{"a":1,"a":1}', b"\xff"):
        found = await door.client.post("/v1/detections", content=body, headers=door.key)
        assert found.status_code == 400
    found = await door.client.post("/v1/detections", content=b"{}", headers={**door.key, "content-type": "text/plain"})
    assert found.status_code == 415


async def test_scopes_are_asked_for(door: Door) -> None:
    reader = bearer(door.here.database, scopes=["detections:read"])
    writer = bearer(door.here.database, scopes=["detections:write"])
    made = await door.ask({"source": {"url": _URL}}, **writer)
    assert made.status_code == 202
    assert (await door.ask({"source": {"url": _URL}}, **reader)).status_code == 403
    assert (await door.read(made.json()["id"], key=writer)).status_code == 403
    assert (await door.read(made.json()["id"], key=reader)).status_code == 200
    assert (await door.client.post("/v1/detections", json={})).status_code == 401


async def test_another_account_and_the_other_mode_find_nothing(door: Door) -> None:
    made = (await door.ask({"source": {"url": _URL}})).json()
    with door.here.database.writing() as session:
        other = create(session, account_named(session, "Other", NOW).id, "live", NOW).text
    for key in ({"Authorization": f"Bearer {other}"}, bearer(door.here.database, mode="test")):
        assert (await door.read(made["id"], key=key)).status_code == 404
    for odd in ("det_1", "%00", "x" * 300):
        assert (await door.read(odd)).status_code == 404


async def test_the_full_result_has_the_raw_answer_and_the_summary_has_not(door: Door) -> None:
    made = (await door.ask({"source": {"media_id": _media(door)}, "detectors": ["asc"]})).json()
    door.answer("ai")
    full = (await door.read(made["id"])).json()
    short = (await door.read(made["id"], "?detail=summary")).json()
    assert json.loads(full["detectors"][0]["raw"]["body"]) == {"said": "ai"}
    assert "raw" not in short["detectors"][0]
    assert (full["verdict"], short["verdict"], full["revision"]) == ("ai_generated", "ai_generated", 1)


@pytest.mark.parametrize("query", ["wait=26", "wait=-1", "wait=1.5", "wait=", "wait=a", "detail=all", "wait=%D9%A1"])
async def test_a_malformed_parameter_is_named(door: Door, query: str) -> None:
    found = await door.read("det_1", f"?{query}")
    assert found.status_code == 422
    assert [each["pointer"] for each in found.json()["errors"]] == [query.partition("=")[0]]


async def test_whoever_waits_is_told_as_soon_as_it_ends(door: Door) -> None:
    made = (await door.ask({"source": {"media_id": _media(door)}, "detectors": ["asc"]})).json()
    loop = asyncio.get_running_loop()
    began = loop.time()
    waiting = asyncio.create_task(door.read(made["id"], "?wait=25"))
    await until(lambda: f"detection:{made['id']}" in door.here.database.wake._waiting)
    await asyncio.to_thread(door.answer, "human")
    found = await waiting
    assert found.json()["verdict"] == "no_ai_detected"
    assert loop.time() - began < 5
    assert f"detection:{made['id']}" not in door.here.database.wake._waiting


async def test_whoever_waits_in_vain_is_told_how_it_stands(door: Door) -> None:
    made = (await door.ask({"source": {"media_id": _media(door)}})).json()
    found = await door.read(made["id"], "?wait=1")
    assert (found.status_code, found.json()["status"]) == (200, "queued")
