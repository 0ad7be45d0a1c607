"""A web process that hears no commit of another process knows that, and looks often instead."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from types import SimpleNamespace
from typing import Any, cast

from sqlalchemy.engine import make_url
from sqlmodel import Session

from service.cli.serve.web import _hearing
from service.kit.concurrency.wake import LISTENING_SWEEP_SECONDS, SWEEP_SECONDS, Sleeper
from service.kit.db.database import Database, notify_on_commit
from service.kit.db.listen import OFTEN_SWEEP_SECONDS
from service.kit.db.patience import Patience
from service.settings import Settings
from service.worker import Worker
from tests.proxy import proxy_to
from tests.waiting import until


def _elsewhere(database_url: str) -> str:
    """An address that accepts LISTEN and delivers nothing of `database_url`, as a transaction-mode pooler does."""
    return make_url(database_url).set(database="postgres").render_as_string(hide_password=False)


@asynccontextmanager
async def _web(database_url: str, listen_url: str | None, patience: Patience | None = None) -> AsyncIterator[Database]:
    settings = Settings(database_url=database_url, database_listen_url=listen_url)
    with closing(Database(database_url, patience=patience)) as database:
        database.wake.attach()
        async with _hearing(settings, cast(Any, SimpleNamespace(database=database))):
            yield database


def _write(session: Session) -> None:
    notify_on_commit(session, "detection:1")


async def test_where_no_notify_arrives_every_sleeper_looks_each_250_ms(postgres_url: str) -> None:
    async with _web(postgres_url, _elsewhere(postgres_url)) as database:
        seldom, often = Sleeper(database.wake, "a"), Sleeper(database.wake, "b", often=True)
        await until(lambda: database.wake.sweep_seconds == OFTEN_SWEEP_SECONDS)
        assert (seldom.every, often.every) == (OFTEN_SWEEP_SECONDS, OFTEN_SWEEP_SECONDS)


async def test_where_one_arrives_it_is_woken_by_commits_of_others(postgres_url: str) -> None:
    async with _web(postgres_url, None) as database:
        event = database.wake.subscribe("detection:1")
        await until(lambda: database.wake.sweep_seconds == LISTENING_SWEEP_SECONDS)
        await until(event.is_set)  # all were woken when it began
        event.clear()
        with closing(Database(postgres_url)) as other:
            await other.write(_write)
        await until(event.is_set)


async def test_a_database_that_does_not_answer_at_first_makes_nobody_deaf(postgres_url: str) -> None:
    async with proxy_to(postgres_url) as proxy:
        proxy.stop()
        async with _web(postgres_url, proxy.url, Patience(connect=0.3)) as database:
            await asyncio.sleep(0.5)  # longer than it is waited for
            assert database.wake.sweep_seconds == SWEEP_SECONDS
            proxy.go_on()
            await until(lambda: database.wake.sweep_seconds == LISTENING_SWEEP_SECONDS)


async def test_a_deaf_worker_lets_the_streams_beside_it_look_as_often(postgres_url: str) -> None:
    settings = Settings(database_url=postgres_url, database_listen_url=_elsewhere(postgres_url))
    with closing(Database(postgres_url)) as database:
        worker = SimpleNamespace(_resources=SimpleNamespace(database=database, settings=settings))
        assert await Worker._listen(cast(Any, worker)) == OFTEN_SWEEP_SECONDS
        assert database.wake.sweep_seconds == OFTEN_SWEEP_SECONDS
