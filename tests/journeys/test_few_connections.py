"""Two web processes and a worker, as a small plan's database takes them: a role with 20 connections."""

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from sqlalchemy.engine import make_url

from tests.journeys.customer import Customer, customer
from tests.journeys.processes import deployment

REQUESTS, AT_ONCE, ALLOWED = 90, 30, 20

pytestmark = pytest.mark.timeout(120)


@contextmanager
def narrow_role(database_url: str) -> Iterator[str]:
    """The address for a role that may have so many connections and no more."""
    plain = make_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False)
    role = sql.Identifier(name := f"narrow_{uuid.uuid4().hex[:8]}")
    with psycopg.connect(plain, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN CONNECTION LIMIT {}").format(role, ALLOWED))
        for things in ("TABLES", "SEQUENCES"):
            grant = sql.SQL("GRANT ALL ON ALL {} IN SCHEMA public TO {}")
            admin.execute(grant.format(sql.SQL(things), role))
        try:
            yield make_url(database_url).set(username=name).render_as_string(hide_password=False)
        finally:
            admin.execute(sql.SQL("DROP OWNED BY {}").format(role))
            admin.execute(sql.SQL("DROP ROLE {}").format(role))


async def test_a_small_plan_serves_two_web_processes_and_a_worker(postgres_url: str, tmp_path: Path) -> None:
    with narrow_role(postgres_url) as address, deployment(address, tmp_path, WEB_CONCURRENCY="2") as one:
        web, worker = one.process("web"), one.process("worker")
        web.start()
        worker.start()
        await one.ready()
        async with customer(one.url, await one.key("test")) as client:
            buyer, turns = Customer(client), asyncio.Semaphore(AT_ONCE)
            detection_id = await buyer.ask(await buyer.upload(tmp_path))

            async def read() -> int:
                async with turns:
                    return (await client.get(f"/v1/detections/{detection_id}")).status_code

            statuses = await asyncio.gather(*(read() for _ in range(REQUESTS)))
            assert set(statuses) == {200}
            await buyer.ended(detection_id)
        assert '"needed": 10' in web.log
        assert '"needed": 7' in worker.log
        assert '"allowed": 20' in web.log
        assert "too many connections" not in web.log + worker.log
        await asyncio.gather(*(asyncio.to_thread(process.stop) for process in (web, worker)))
