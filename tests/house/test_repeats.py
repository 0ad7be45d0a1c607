"""Every POST of `/v1` may be sent again with its `Idempotency-Key`: nothing more happens, the answer is the same."""

from typing import Any

import httpx
import pytest

from tests.house.front_door import Door, House, client_of, doors_of
from tests.house.test_isolation import BODIES
from tests.media import sounds

DOORS = [door for door in doors_of() if door.method == "POST"]
CREATES: dict[str, dict[str, Any]] = {
    "POST /v1/media": {"content": sounds.wav(3), "headers": {"Content-Type": "audio/wav"}},
    "POST /v1/detections": {"json": {"source": {"url": "https://cdn.example/song.mp3"}}},
    "POST /v1/webhook-endpoints": {"json": {"url": "https://customer.example/in", "events": ["*"]}},
}
"""The requests to routes without an id."""

REFUSED = {"POST /v1/detections/{}/cancel", "POST /v1/detections/{}/certificate"}
"""The sample's state forbids it (it has ended; it has no analysis of a name): a refusal is not kept, and the next try
may succeed."""


async def post(built: House, door: Door, client: httpx.AsyncClient) -> httpx.Response:
    request = CREATES.get(door.shape) or {"json": BODIES.get(door.shape, {})}
    headers = built.owner | {"Idempotency-Key": "again"} | request.get("headers", {})
    return await client.post(door.at(built.samples), **{**request, "headers": headers})


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.shape)
async def test_a_post_sent_again_does_nothing_and_gets_the_first_answer(built: House, door: Door) -> None:
    async with client_of(built.app) as client:
        first = await post(built, door, client)
        after = built.rows()
        again = await post(built, door, client)
    if door.shape in REFUSED:
        assert (first.status_code, again.status_code) == (409, 409)
    else:
        assert first.is_success, first.text
        assert again.headers.get("idempotent-replayed") == "true"
        assert (again.status_code, again.content) == (first.status_code, first.content)
    assert built.rows() == after
