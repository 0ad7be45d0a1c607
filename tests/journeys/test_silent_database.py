"""PostgreSQL falls silent without closing a connection, or somebody else holds a lock: nobody waits for ever."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
import psycopg
import pytest
from sqlalchemy.engine import make_url

from tests.journeys.customer import Customer, customer
from tests.journeys.processes import Deployment, Process, deployment
from tests.proxy import Proxy, proxy_to
from tests.waiting import until

# A fifth of the time-outs that a deployment has. With RELAY_JOURNEY_SCALE=1 the journey is made with the real ones.
SCALE = float(os.environ.get("RELAY_JOURNEY_SCALE", "0.2"))
DEFAULTS = {"CONNECT": 5, "LINE": 20, "STATEMENT": 30, "LOCK": 10, "IDLE": 60}
LIMITS = {f"DATABASE_{name}_SECONDS": str(seconds * SCALE) for name, seconds in DEFAULTS.items()}
ANSWERED_SECONDS = 35 * SCALE + 3
ENDED_SECONDS = 25.0
BUSY = 10  # times what a crowd's answers took while all was well is granted to a machine that has other work

pytestmark = pytest.mark.timeout(300)


@asynccontextmanager
async def behind_a_proxy(database_url: str, folder: Path) -> AsyncIterator[tuple[Deployment, Proxy, Customer, str]]:
    """Web and worker, which reach PostgreSQL through a proxy; a customer and the id of its audio."""
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(proxy_to(database_url))
        one = stack.enter_context(deployment(proxy.url, folder, **LIMITS))
        one.start()
        await one.ready()
        client = await stack.enter_async_context(customer(one.url, await one.key("test")))
        client.timeout = httpx.Timeout(20 * ANSWERED_SECONDS)
        buyer = Customer(client)
        yield one, proxy, buyer, await buyer.upload(folder)


async def asked(client: httpx.AsyncClient, method: str, path: str, **request: object) -> tuple[int, float]:
    """The status of the answer, and how long it took."""
    begun = time.monotonic()
    answer = await client.request(method, path, **request)  # type: ignore[arg-type]  # as httpx takes them
    return answer.status_code, time.monotonic() - begun


async def slowness(client: httpx.AsyncClient, path: str) -> float:
    """How many seconds a busy machine adds, by what it takes while all is well."""
    answers = await asyncio.gather(*(asked(client, "GET", path) for _ in range(20)))
    assert {status for status, _ in answers} == {200}
    return BUSY * max(seconds for _, seconds in answers)


async def test_a_line_that_goes_dead_holds_nobody_up_and_keeps_nothing_alive(postgres_url: str, tmp_path: Path) -> None:
    async with behind_a_proxy(postgres_url, tmp_path) as (one, proxy, buyer, media_id):
        detection_id = await buyer.ask(media_id)
        await buyer.ended(detection_id)
        path = f"/v1/detections/{detection_id}"
        extra = await slowness(buyer.client, path)
        async with locked(postgres_url, detection_id):
            asking = [asyncio.create_task(asked(buyer.client, "DELETE", path))]  # under way when the line dies
            await asyncio.to_thread(wait_for_a_waiter, postgres_url)
            proxy.stop()
            body = {"source": {"media_id": media_id}}
            asking += [asyncio.create_task(asked(buyer.client, "GET", path)) for _ in range(20)]
            asking += [asyncio.create_task(asked(buyer.client, "POST", "/v1/detections", json=body)) for _ in range(5)]
            asking += [
                asyncio.create_task(asked(buyer.client, "GET", other)) for other in ("/v1/events/stream", "/readyz")
            ]
            answers = await asyncio.gather(*asking)
        assert {status for status, _ in answers} == {503}
        assert max(seconds for _, seconds in answers) < ANSWERED_SECONDS + extra

        proxy.go_on()
        await until(lambda: works(buyer, media_id), seconds=60)
        await buyer.ended(await buyer.ask(media_id, force=True), seconds=60)
        assert all(process.running.poll() is None for process in one.processes)

        proxy.stop()
        asking = [asyncio.create_task(asked(buyer.client, "GET", path)) for _ in range(8)]
        ends = await asyncio.gather(*(asyncio.to_thread(stopped, process) for process in one.processes))
        await asyncio.gather(*asking, return_exceptions=True)
        assert {status for status, _ in ends} == {0}
        assert max(seconds for _, seconds in ends) < ENDED_SECONDS + extra
        print({"slowest answer": max(seconds for _, seconds in answers), "ended after": ends})  # noqa: T201 - the figures


async def works(buyer: Customer, media_id: str) -> bool:
    answer = await buyer.client.post("/v1/detections", json={"source": {"media_id": media_id}})
    return answer.status_code == 202


def stopped(process: Process) -> tuple[int, float]:
    begun = time.monotonic()
    return process.stop(), time.monotonic() - begun


async def test_a_row_that_somebody_else_locked_holds_up_nobody_but_who_needs_it(
    postgres_url: str, tmp_path: Path
) -> None:
    async with behind_a_proxy(postgres_url, tmp_path) as (_one, _proxy, buyer, media_id):
        detection_id = await buyer.ask(media_id)
        await buyer.ended(detection_id)
        extra = await slowness(buyer.client, f"/v1/detections/{detection_id}")
        async with locked(postgres_url, detection_id):
            stuck = [
                asyncio.create_task(asked(buyer.client, "DELETE", f"/v1/detections/{detection_id}")) for _ in range(12)
            ]
            await asyncio.to_thread(wait_for_a_waiter, postgres_url)
            status, _seconds = await asked(buyer.client, "GET", f"/v1/detections/{detection_id}")
            assert status == 200
            answers = await asyncio.gather(*stuck)
        assert {status for status, _ in answers} == {503}
        assert max(seconds for _, seconds in answers) < ANSWERED_SECONDS + extra
        assert (await asked(buyer.client, "DELETE", f"/v1/detections/{detection_id}"))[0] in (200, 204)


@asynccontextmanager
async def locked(database_url: str, detection_id: str) -> AsyncIterator[None]:
    """Another transaction holds the detection's row."""
    address = plain(database_url)
    async with await psycopg.AsyncConnection.connect(address) as other:
        await other.execute("SELECT id FROM detection WHERE id = %s FOR UPDATE", [detection_id])
        yield
        await other.rollback()


def wait_for_a_waiter(database_url: str) -> None:
    """Some transaction waits for a lock."""
    with psycopg.connect(plain(database_url), autocommit=True) as connection:
        for _ in range(6000):
            if connection.execute("SELECT 1 FROM pg_locks WHERE NOT granted LIMIT 1").fetchone():
                return
            time.sleep(0.01)
    raise AssertionError("nobody waits")


def plain(database_url: str) -> str:
    return make_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False)
