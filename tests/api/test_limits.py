"""A key may ask so often a minute and is told how it stands; strangers are counted apart, by where they come from."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from structlog.testing import capture_logs

from service.api.auth import require
from service.api.limits import Limiter, RequestLimits
from service.app import create
from service.kit.db.database import Database
from service.settings import load_settings
from tests.api.doors import NOW, app_of, bearer, client_of, context_on
from tests.detections.rows import Hands


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def test_a_full_bucket_is_emptied_and_refilled_evenly() -> None:
    limiter = Limiter(6)  # one more every ten seconds
    assert [limiter.take("a", NOW).left for _ in range(6)] == [5, 4, 3, 2, 1, 0]
    empty = limiter.take("a", NOW)
    assert (empty.granted, empty.left, empty.full_seconds, empty.retry_seconds) == (False, 0, 60, 10)
    assert limiter.take("a", later(9)).granted is False
    assert limiter.take("a", later(10)).granted is True
    assert limiter.take("a", later(10)).granted is False
    assert limiter.take("a", later(10_000)).left == 5


def test_callers_do_not_share_a_bucket() -> None:
    limiter = Limiter(1)
    assert [limiter.take(who, NOW).granted for who in "aabb"] == [True, False, True, False]


def test_a_clock_that_steps_back_refills_nothing_and_takes_nothing() -> None:
    limiter = Limiter(2)
    limiter.take("a", NOW)
    assert [limiter.take("a", later(-3600)).granted for _ in range(2)] == [True, False]


def test_the_longest_unused_bucket_goes_when_there_are_too_many() -> None:
    limiter = Limiter(1, most=2)
    for who in "abac":  # "b" is the one that was not seen for longest
        limiter.take(who, NOW)
    assert [limiter.take(who, NOW).granted for who in "acb"] == [False, False, True]


@given(st.integers(1, 1000), st.lists(st.floats(0, 30), max_size=60))
def test_no_minute_ever_has_more_than_twice_the_quota(per_minute: int, waits: list[float]) -> None:
    limiter, at, granted = Limiter(per_minute), 0.0, list[float]()
    for wait in waits:
        at += wait
        standing = limiter.take("a", later(at))
        assert 0 <= standing.left <= per_minute
        granted += [at] if standing.granted else []
    assert all(sum(start <= other < start + 60 for other in granted) <= 2 * per_minute for start in granted)


async def whoami(request: Request) -> Response:
    return JSONResponse({"mode": (await require(request, "detections:read")).mode})


async def fail(request: Request) -> Response:
    await require(request, "detections:read")
    raise RuntimeError("lightning")


@asynccontextmanager
async def door(database: Database, clock: Hands, quota: int = 3, hops: int = 0) -> AsyncIterator[httpx.AsyncClient]:
    context = replace(
        context_on(database, Path("unused")), limits=RequestLimits(quota), clock=clock, trusted_proxy_hops=hops
    )
    async with client_of(app_of([Route("/v1/me", whoami), Route("/v1/fail", fail)], context)) as client:
        yield client


async def test_every_answer_to_a_key_says_how_it_stands(database: Database) -> None:
    clock, key = Hands(NOW), bearer(database)
    async with door(database, clock) as client:
        answers = [await client.get("/v1/me", headers=key) for _ in range(4)]
        clock.turn(20)
        after = await client.get("/v1/me", headers=key)
    assert [each.status_code for each in answers] == [200, 200, 200, 429]
    assert [each.headers["ratelimit-policy"] for each in answers] == ['"default";q=3;w=60'] * 4
    assert [each.headers["ratelimit"] for each in answers] == [
        '"default";r=2;t=20', '"default";r=1;t=40', '"default";r=0;t=60', '"default";r=0;t=60'
    ]  # fmt: skip
    assert (answers[3].headers["retry-after"], answers[3].json()["code"]) == ("20", "rate_limited")
    assert answers[3].headers["content-type"] == "application/problem+json"
    assert after.status_code == 200


async def test_refusals_and_failures_say_it_too(database: Database) -> None:
    async with door(database, Hands(NOW)) as client:
        refused = await client.get("/v1/me", headers=bearer(database, scopes=["endpoints:read"]))
        failed = await client.get("/v1/fail", headers=bearer(database))
    assert [refused.status_code, failed.status_code] == [403, 500]
    assert [each.headers["ratelimit"] for each in (refused, failed)] == ['"default";r=2;t=20'] * 2


async def test_keys_of_one_account_have_a_bucket_each(database: Database) -> None:
    async with door(database, Hands(NOW), quota=1) as client:
        answers = [await client.get("/v1/me", headers=bearer(database)) for _ in range(2)]
    assert [each.status_code for each in answers] == [200, 200]


async def test_who_guesses_keys_is_stopped_and_a_neighbour_with_a_key_is_not(database: Database) -> None:
    wrong = {"Authorization": "Bearer vr_live_" + "a" * 43}
    async with door(database, Hands(NOW)) as client:
        with capture_logs() as lines:
            guesses = [await client.get("/v1/me", headers=wrong) for _ in range(5)]
        guesses.append(await client.get("/v1/me"))
        neighbour = await client.get("/v1/me", headers=bearer(database))
    assert [each.status_code for each in guesses] == [401, 401, 401, 429, 429, 429]
    assert guesses[3].headers["retry-after"] == "20"
    assert neighbour.status_code == 200
    assert [(line["event"], line["client"], line["gave_key"]) for line in lines] == [
        ("auth.refused", "127.0.0.1", True)
    ] * 3


async def test_an_address_that_guesses_on_does_not_reach_the_database_and_a_known_key_behind_it_does(
    database: Database,
) -> None:
    looks: list[str] = []

    def note(*heard: Any) -> None:
        looks.append(heard[2])

    key = bearer(database)
    async with door(database, Hands(NOW), quota=100) as client:
        assert (await client.get("/v1/me", headers=key)).status_code == 200
        event.listen(database.engine, "before_cursor_execute", note)
        for n in range(400):
            await client.get("/v1/me", headers={"Authorization": f"Bearer vr_live_{n:043}"})
        event.remove(database.engine, "before_cursor_execute", note)
        again = await client.get("/v1/me", headers=key)
    assert sum("FROM api_key" in look for look in looks) <= 100 + 60
    assert again.status_code == 200


@pytest.mark.parametrize(("hops", "statuses"), [(0, [401, 429]), (1, [401, 401])])
async def test_a_forwarded_address_counts_only_behind_a_proxy_of_ours(
    database: Database, hops: int, statuses: list[int]
) -> None:
    async with door(database, Hands(NOW), quota=1, hops=hops) as client:
        answers = [
            await client.get("/v1/me", headers={"X-Forwarded-For": f"198.51.100.{n}"}) for n in range(len(statuses))
        ]
    assert [each.status_code for each in answers] == statuses


async def test_no_forged_entry_buys_a_fresh_bucket_behind_a_proxy(database: Database) -> None:
    async with door(database, Hands(NOW), quota=1, hops=1) as client:
        answers = [
            await client.get("/v1/me", headers={"X-Forwarded-For": f"192.0.2.{n}, 198.51.100.7"}) for n in range(2)
        ]
    assert [each.status_code for each in answers] == [401, 429]


async def test_the_settings_reach_the_door(sqlite_url: str) -> None:
    settings = load_settings(
        database_url=sqlite_url,
        secret_keys=("s" * 32,),
        media_store="database:",
        api_per_minute=1,
        trusted_proxy_hops=1,
    )
    app = create(settings, clock=lambda: NOW)
    async with app.router.lifespan_context(app), client_of(app) as client:
        answers = [
            await client.get("/v1/detections", headers={"X-Forwarded-For": address})
            for address in ("198.51.100.1", "198.51.100.1", "198.51.100.2")
        ]
        free = [await client.get("/livez") for _ in range(3)]
    assert [each.status_code for each in answers] == [401, 429, 401]
    assert answers[0].headers["ratelimit-policy"] == '"default";q=1;w=60'
    assert [each.status_code for each in free] == [200] * 3
    assert "ratelimit" not in free[0].headers
