"""Nobody sees or moves what is another account's, or of the other mode: for every route there is, and for new ones.

A new noun in a route needs a line in `front_door.BUILDERS`; a route that wants a body needs one in `BODIES`.
"""

from typing import Any

import pytest

from tests.house.front_door import BUILDERS, Door, House, client_of, doors_of
from tests.waiting import until

DOORS = list(doors_of())
WITH_IDS = [door for door in DOORS if "{" in door.path]
LISTS = [door for door in DOORS if door.method == "GET" and "{" not in door.path and not door.streams]

BODIES: dict[str, Any] = {
    "PATCH /v1/webhook-endpoints/{}": {"description": "mine now"},
    "POST /v1/webhook-endpoints/{}/recover": {"since": "2026-11-20T00:00:00Z"},
    "POST /v1/detections/{}/review": {"verdict": "no_ai_detected"},
}
"""What the route's own account could send; an empty object else."""

NOTHING_THERE = {"GET /v1/detections/{}/certificate"}
"""What the sample does not have, so that no vendor is asked: its own account gets a 404 too, which says so."""

ABOUT_NOBODY = {"GET /v1/detectors"}
"""Lists in which no account has anything of its own."""


def test_every_noun_of_a_route_has_a_sample() -> None:
    assert {noun for door in WITH_IDS for noun in door.nouns} - set(BUILDERS) == set()
    assert len(WITH_IDS) >= 10


@pytest.mark.parametrize("door", WITH_IDS, ids=lambda door: door.shape)
async def test_what_is_somebody_else_s_is_not_there_and_stays_as_it_is(built: House, door: Door) -> None:
    before = built.rows()
    for who, key in built.strangers.items():
        assert (who, await built.knock(door, key, BODIES.get(door.shape))) == (who, 404)
    assert built.rows() == before
    status = await built.knock(door, built.owner, BODIES.get(door.shape))
    expected = {404} if door.shape in NOTHING_THERE else {200, 201, 202, 204, 409}
    assert status in expected, "the sample or the body is wrong: its own account is refused too"


@pytest.mark.parametrize("door", LISTS, ids=lambda door: door.shape)
async def test_a_list_holds_nothing_of_somebody_else_s(built: House, door: Door) -> None:
    samples = built.samples.values()
    async with client_of(built.app) as client:
        for key in built.strangers.values():
            answer = await client.get(door.path, headers=key)
            assert answer.status_code == 200
            assert [sample for sample in samples if sample in answer.text] == []

        async def is_seen_by_its_owner() -> bool:
            own = await client.get(door.path, headers=built.owner)
            return any(sample in own.text for sample in samples)

        if door.shape not in ABOUT_NOBODY:
            # PostgreSQL's feed lags the oldest transaction under way, also one in another database of the server.
            await until(is_seen_by_its_owner, seconds=20)


async def test_a_list_asked_for_somebody_else_s_endpoint_holds_nothing(built: House) -> None:
    path = f"/v1/deliveries?endpoint={built.samples['webhook-endpoints']}"
    async with client_of(built.app) as client:
        assert built.samples["deliveries"] in (await client.get(path, headers=built.owner)).text
        for key in built.strangers.values():
            assert built.samples["deliveries"] not in (await client.get(path, headers=key)).text


async def test_nobody_has_somebody_else_s_recording_examined(built: House) -> None:
    before = built.rows()
    asked = {"source": {"media_id": built.samples["media"]}, "detectors": ["asc"]}
    async with client_of(built.app) as client:
        for key in built.strangers.values():
            refused = await client.post("/v1/detections", json=asked, headers=key)
            assert refused.status_code == 422
            assert [each["pointer"] for each in refused.json()["errors"]] == ["/source/media_id"]
        assert built.rows() == before
        assert (await client.post("/v1/detections", json=asked, headers=built.owner)).status_code == 202
