"""`GET /v1/detectors`: what is offered, how it does, and that nothing of another account is in it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.api.contract.document import document
from service.api.v1.detections import ROUTES
from service.detectors.catalogue import Catalogue, ConfiguredVendor, Limits
from service.detectors.port import Capabilities, Needs
from service.kit.db.database import Database
from service.quotas.circuit import note_failure
from service.quotas.models import Gate
from tests.api.doors import NOW, app_of, bearer, client_of, context_on
from tests.api.promise import Promise
from tests.detections.rows import PLAN, World, policy_of
from tests.detections.scripted import Scripted, aippim, asc, job, raw

_AT_ONCE = Capabilities(frozenset({"wav", "mp3"}), Needs.UPLOAD, min_duration_ms=10_000)
_LIMITS = Limits(concurrency=10, per_minute=100, daily_quota=10_000)


@dataclass
class Door:
    """The door, and what is behind it. ASC is live; the others are for test keys alone."""

    client: httpx.AsyncClient
    here: World
    live: dict[str, str]
    test: dict[str, str]

    async def shown(self, key: dict[str, str] | None = None) -> dict[str, dict[str, Any]]:
        """Return the detectors by their names."""
        answer = await self.client.get("/v1/detectors", headers=key or self.live)
        assert answer.status_code == 200, answer.text
        Promise(document(ROUTES)).check("listDetectors", answer)
        return {one["detector"]: one for one in answer.json()["data"]}


@pytest.fixture
async def door(database: Database, tmp_path: Path) -> AsyncIterator[Door]:
    plan = replace(PLAN, limits=_LIMITS)
    catalogue = Catalogue(
        {
            ("test", "aippim"): ConfiguredVendor(aippim(), plan),
            ("live", "asc"): ConfiguredVendor(
                asc(submits=[job("j1")], fetches=[raw({"said": "ai"}, at=_at(60))]), plan
            ),
            ("test", "asc"): ConfiguredVendor(asc(), plan),
            ("test", "pex"): ConfiguredVendor(Scripted("pex", ("pex",), _AT_ONCE), PLAN),
        }
    )
    here = World(database, replace(policy_of(), catalogue=catalogue))
    context = replace(context_on(database, tmp_path), policy=here.policy, clock=here.clock)
    async with client_of(app_of(ROUTES, context)) as client:
        yield Door(client, here, bearer(database), bearer(database, mode="test"))


def _at(seconds: float) -> Any:
    return NOW + timedelta(seconds=seconds)


async def test_every_known_detector_is_listed_in_one_order_and_says_whether_it_is_configured(door: Door) -> None:
    live, test = await door.shown(), await door.shown(door.test)
    assert list(live) == list(test) == ["aippim/standard", "aippim/pro", "asc", "pex"]
    assert [one["configured"] for one in live.values()] == [False, False, True, False]
    assert {one["configured"] for one in test.values()} == {True}


async def test_one_that_is_not_configured_shows_what_it_takes_and_nothing_measured(door: Door) -> None:
    assert (await door.shown())["aippim/pro"] == {
        "detector": "aippim/pro",
        "vendor": "aippim",
        "tier": "pro",
        "tiers": ["standard", "pro"],
        "configured": False,
        "formats": ["mp3", "wav"],
        "limits": {
            "max_bytes": None,
            "min_duration_ms": None,
            "max_duration_ms": None,
            "concurrency": 10,
            "per_minute": 100,
            "daily_quota": 10_000,
        },
        "needs": "upload",
        "answers": "callback",
        "health": None,
        "latency": None,
        "callback_loss_pct": None,
        "quota_left": None,
        "quota_resets_at": None,
    }


async def test_one_that_nobody_asked_is_well_and_has_no_quantiles(door: Door) -> None:
    found = (await door.shown())["asc"]
    assert found["health"] == {"state": "ok", "circuit": "closed", "last_error": None, "since": None}
    assert found["latency"] == {"p50_ms": None, "p95_ms": None, "samples": 0}
    assert (found["callback_loss_pct"], found["quota_left"]) == (None, 10_000)
    assert found["quota_resets_at"] == "2026-11-21T00:00:00.000Z"


async def test_what_was_answered_is_measured_for_all_accounts_and_in_its_mode_only(door: Door) -> None:
    door.here.submit("asc", account_id="acc_somebody_else", media={"account": "acc_somebody_else"})
    await door.here.dispatch()
    door.here.clock.now = _at(60)
    await door.here.poll()
    door.here.clock.turn(60)  # what this process knew is a minute old then
    found = (await door.shown())["asc"]
    assert found["latency"] == {"p50_ms": 60_000, "p95_ms": 60_000, "samples": 1}
    assert found["callback_loss_pct"] == 100.0
    assert found["quota_left"] == 9_998
    assert "acc_" not in str(found)
    assert "det_" not in str(found)
    assert (await door.shown(door.test))["asc"]["latency"]["samples"] == 0


async def test_one_that_answers_at_once_has_no_callbacks_to_lose(door: Door) -> None:
    found = (await door.shown(door.test))["pex"]
    assert (found["answers"], found["needs"], found["limits"]["min_duration_ms"]) == ("at_once", "upload", 10_000)
    assert (found["callback_loss_pct"], found["quota_left"], found["quota_resets_at"]) == (None, None, None)


async def test_a_vendor_that_fails_says_so_and_since_when(database: Database, door: Door) -> None:
    gate = Gate(vendor="asc", mode="live")
    note_failure(gate, NOW, at_once=True)
    with database.writing() as session:
        session.add(gate)
    assert (await door.shown())["asc"]["health"] == {
        "state": "open",
        "circuit": "open",
        "last_error": "auth_failed",
        "since": "2026-11-20T12:00:00.000Z",
    }
    assert (await door.shown(door.test))["asc"]["health"]["state"] == "ok"


async def test_it_takes_no_parameters(door: Door) -> None:
    answer = await door.client.get("/v1/detectors?limit=5", headers=door.live)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "limit")
