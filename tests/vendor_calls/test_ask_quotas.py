"""What a live vendor says is left reaches its gate; asking is seldom, and counted."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlmodel import select

from service.detectors.catalogue import Catalogue, ConfiguredVendor, Limits
from service.detectors.exchange import Exchange
from service.detectors.port import Raw
from service.kit.db.database import Database
from service.quotas.gate_store import admit_request
from service.quotas.models import Gate
from service.vendor_calls.ask_quotas import QuotaAsker
from service.vendors.asc import Asc, AscSettings
from tests.detections.rows import PLAN, Hands
from tests.detections.scripted import NOW, aippim
from tests.vendors.vendor_server import VendorServer, vendor_server

LIMITS = Limits(daily_quota=10_000)
LEFT = {
    "plan": "pro",
    "daily_limit": 10_000,
    "daily_used": 9_000,
    "daily_remaining": 1000,
    "reset_at": "2026-11-21T00:00:00Z",
}


@asynccontextmanager
async def asked(
    database: Database, status: str, body: Mapping[str, object], mode: str = "live"
) -> AsyncIterator[tuple[QuotaAsker, VendorServer, Hands]]:
    """An asker, and ASC as it answers; something has gone there today."""
    clock = Hands()
    with database.writing() as session:
        assert admit_request(session, ("live", "asc"), LIMITS, clock()) is None
    async with vendor_server({"GET /v1?action=quota": (status, body)}) as server:
        adapter = Asc(
            AscSettings(base_url=f"{server.url}/v1", api_key="key_never_shown"),
            Exchange(timeout_seconds=20, clock=clock),
        )
        plan = replace(PLAN, limits=LIMITS)
        catalogue = Catalogue(
            {(mode, "asc"): ConfiguredVendor(adapter, plan), ("live", "aippim"): ConfiguredVendor(aippim(), plan)}
        )
        yield QuotaAsker(database, catalogue, clock), server, clock


def _gate(database: Database) -> Gate:
    with database.reading() as session:
        return session.exec(select(Gate)).one()


async def test_the_gate_knows_what_the_vendor_says_is_left(database: Database) -> None:
    async with asked(database, "200 OK", LEFT) as (asker, server, clock):
        assert await asker.step() is False
        gate = _gate(database)
        assert (gate.quota_left, gate.resets_at, gate.window_used) == (1000, NOW.replace(day=21, hour=0), 2)
        clock.turn(60)
        await asker.step()
        assert len(server.asked) == 1
        with database.writing() as session:
            admit_request(session, ("live", "asc"), LIMITS, clock())
        clock.turn(600)
        await asker.step()
        assert len(server.asked) == 2


async def test_two_workers_ask_once(database: Database) -> None:
    async with asked(database, "200 OK", LEFT) as (asker, server, clock):
        await asker.step()
        await QuotaAsker(database, asker.catalogue, clock).step()
        assert len(server.asked) == 1


async def test_test_runs_ask_for_nothing(database: Database) -> None:
    async with asked(database, "200 OK", LEFT, mode="test") as (asker, server, _):
        await asker.step()
        assert server.asked == []


@pytest.mark.parametrize("status", ["404 Not Found", "500 Oops", "200 OK"])
async def test_a_vendor_that_does_not_tell_is_left_in_peace(database: Database, status: str) -> None:
    async with asked(database, status, {"nothing": True}) as (asker, server, _):
        await asker.step()
        await asker.step()
        gate = _gate(database)
        assert (len(server.asked), gate.quota_left, gate.failures) == (1, None, 0)


async def test_a_vendor_that_is_not_there_is_no_failure_of_a_run(database: Database) -> None:
    async with asked(database, "200 OK", LEFT) as (asker, _, clock):
        pass
    clock.turn(timedelta(minutes=11).total_seconds())
    await asker.step()
    assert _gate(database).failures == 0


async def test_a_vendor_that_cannot_be_asked_holds_up_no_other(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with asked(database, "200 OK", LEFT) as (asker, server, _):
        broken = Asc(
            AscSettings(base_url="http://127.0.0.1:1", api_key="key"), Exchange(timeout_seconds=1, clock=Hands())
        )

        async def fall() -> Raw:
            raise ValueError("not of this world")

        monkeypatch.setattr(broken, "fetch_quota", fall)
        monkeypatch.setattr(broken, "vendor", "aaa")
        with database.writing() as session:
            assert admit_request(session, ("live", "aaa"), LIMITS, NOW) is None
        (configured,) = (
            configured for configured in asker.catalogue.configured_in("live") if configured.adapter.vendor == "asc"
        )
        both = Catalogue({("live", "aaa"): ConfiguredVendor(broken, configured.policy), ("live", "asc"): configured})
        await QuotaAsker(database, both, Hands()).step()
        assert len(server.asked) == 1
