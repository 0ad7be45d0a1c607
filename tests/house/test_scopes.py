"""Every route of `/v1` asks for a key, and the key for the one scope that stands here."""

import pytest

from service.accounts.api_keys import SCOPES as ALL_SCOPES
from tests.api.doors import bearer
from tests.house.front_door import Door, House, client_of, doors_of

SCOPES = {
    "POST /v1/media": "detections:write",
    "GET /v1/media/{}": "detections:read",
    "DELETE /v1/media/{}": "detections:write",
    "POST /v1/detections": "detections:write",
    "GET /v1/detections": "detections:read",
    "GET /v1/detections/{}": "detections:read",
    "DELETE /v1/detections/{}": "detections:write",
    "GET /v1/detections/{}/timeline": "detections:read",
    "GET /v1/detections/{}/stream": "detections:read",
    "POST /v1/detections/{}/cancel": "detections:write",
    "POST /v1/detections/{}/recheck": "detections:write",
    "POST /v1/detections/{}/review": "detections:write",
    "POST /v1/detections/{}/certificate": "detections:write",
    "GET /v1/detections/{}/certificate": "detections:read",
    "POST /v1/batches": "detections:write",
    "GET /v1/batches/{}": "detections:read",
    "GET /v1/batches/{}/results.csv": "detections:read",
    "GET /v1/detectors": "detections:read",
    "GET /v1/events": "detections:read",
    "GET /v1/events/{}": "detections:read",
    "GET /v1/events/stream": "detections:read",
    "POST /v1/webhook-endpoints": "endpoints:write",
    "GET /v1/webhook-endpoints": "endpoints:read",
    "GET /v1/webhook-endpoints/{}": "endpoints:read",
    "PATCH /v1/webhook-endpoints/{}": "endpoints:write",
    "DELETE /v1/webhook-endpoints/{}": "endpoints:write",
    "GET /v1/webhook-endpoints/{}/secret": "secrets:read",
    "GET /v1/webhook-endpoints/{}/stats": "endpoints:read",
    "POST /v1/webhook-endpoints/{}/rotate-secret": "endpoints:write",
    "POST /v1/webhook-endpoints/{}/ping": "endpoints:write",
    "POST /v1/webhook-endpoints/{}/enable": "endpoints:write",
    "POST /v1/webhook-endpoints/{}/disable": "endpoints:write",
    "POST /v1/webhook-endpoints/{}/recover": "endpoints:write",
    "GET /v1/deliveries": "endpoints:read",
    "GET /v1/deliveries/{}": "endpoints:read",
    "POST /v1/deliveries/{}/resend": "endpoints:write",
}
DOORS = list(doors_of())


def test_every_route_has_its_scope_here() -> None:
    assert {door.shape for door in DOORS} - set(SCOPES) == set()
    assert set(SCOPES.values()) <= ALL_SCOPES


@pytest.mark.parametrize("opened", ["sqlite"], indirect=True)
@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.shape)
async def test_a_key_needs_the_route_s_scope_and_no_other(built: House, door: Door) -> None:
    scope = SCOPES[door.shape]
    before = built.rows()
    assert await built.knock(door, {}) == 401
    lacking = bearer(built.database, scopes=sorted(ALL_SCOPES - {scope}))
    async with client_of(built.app) as client:
        refused = await client.request(door.method, door.at(built.samples), headers=lacking)
    assert (refused.status_code, refused.json()["code"]) == (403, "missing_scope")
    assert scope in refused.json()["detail"]
    assert {name: rows for name, rows in built.rows().items() if name not in _OF_KEYS} == {
        name: rows for name, rows in before.items() if name not in _OF_KEYS
    }
    assert await built.knock(door, bearer(built.database, scopes=[scope])) not in {401, 403}


_OF_KEYS = {"api_key", "audit"}  # what making keys for this test writes
