import asyncio
from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest
from sqlalchemy.engine import make_url
from sqlmodel import Session

from service.kit.concurrency.wake import CHANNEL, Wake
from service.kit.db.database import Database, notify_on_commit
from tests.waiting import until


def _write(session: Session, *topics: str) -> None:
    notify_on_commit(session, *topics)


@pytest.fixture
def listener(postgres_url: str) -> Iterator[psycopg.Connection]:
    """A connection that hears what is notified, without any of our code between."""
    address = make_url(postgres_url).render_as_string(hide_password=False)
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(f"LISTEN {CHANNEL}")
        yield connection


def _heard(listener: psycopg.Connection) -> list[str]:
    """What was notified up to now: what we notify ourselves comes after it."""
    listener.execute(f"NOTIFY {CHANNEL}, 'end'")
    heard = []
    for note in listener.notifies(timeout=10):
        if note.payload == "end":
            break
        heard.append(note.payload)
    return heard


async def test_a_commit_wakes_those_who_wait_for_its_topics_and_nobody_else(database: Database) -> None:
    database.wake.attach()
    deliveries, runs = database.wake.subscribe("deliveries"), database.wake.subscribe("runs")
    await database.write(_write, "deliveries")
    await until(deliveries.is_set)
    assert not runs.is_set()


async def test_everybody_who_waits_for_a_topic_is_woken() -> None:
    wake = Wake()
    wake.attach()
    waiting = [wake.subscribe("runs") for _ in range(3)]
    wake.notify(["runs"])
    await until(lambda: all(event.is_set() for event in waiting))


async def test_whoever_unsubscribed_sleeps_on() -> None:
    wake = Wake()
    wake.attach()
    gone, stays = wake.subscribe("runs"), wake.subscribe("runs")
    wake.unsubscribe("runs", gone)
    wake.notify(["runs"])
    await until(stays.is_set)
    assert not gone.is_set()


async def test_a_thread_may_wake_the_event_loop() -> None:
    wake = Wake()
    wake.attach()
    event = wake.subscribe("runs")
    await asyncio.gather(asyncio.to_thread(wake.notify, ["runs"]), asyncio.wait_for(event.wait(), 10))


def test_telling_before_and_after_the_event_loop_is_harmless() -> None:
    async def attach() -> None:
        wake.attach()

    wake = Wake()
    event = wake.subscribe("runs")
    wake.notify(["runs"])
    asyncio.run(attach())
    wake.notify(["runs"])
    assert not event.is_set()


async def test_our_own_payload_is_old_news_and_anothers_wakes() -> None:
    ours, theirs = Wake(), Wake()
    ours.attach()
    event = ours.subscribe("runs")
    (own,), (other,) = ours.payloads(["runs"]), theirs.payloads(["runs"])
    ours.receive(own)
    await asyncio.sleep(0)
    assert not event.is_set()
    ours.receive(other)
    await until(event.is_set)


def test_many_topics_are_split_into_payloads_that_postgresql_takes() -> None:
    wake = Wake()
    topics = [f"endpoint:{n:030}" for n in range(1000)]
    payloads = wake.payloads(topics)
    assert all(len(payload.encode()) < 8000 for payload in payloads)
    assert len(payloads) == 6
    parts = [payload.split(" ") for payload in payloads]
    assert {sender for sender, *_ in parts} == {wake.sender}
    assert [topic for _, *part in parts for topic in part] == sorted(topics)


async def test_a_commit_in_one_process_is_heard_in_another_once(
    postgres_url: str, listener: psycopg.Connection
) -> None:
    with closing(Database(postgres_url)) as here, closing(Database(postgres_url)) as there:
        there.wake.attach()
        event = there.wake.subscribe("deliveries")
        await here.write(_write, "deliveries", "runs")
        (payload,) = _heard(listener)
        there.wake.receive(payload)
        await until(event.is_set)
        event.clear()
        here.wake.attach()
        own = here.wake.subscribe("deliveries")
        here.wake.receive(payload)
        await asyncio.sleep(0)
        assert not own.is_set()


async def test_more_topics_than_fit_one_payload_all_arrive(postgres_url: str, listener: psycopg.Connection) -> None:
    topics = {f"endpoint:{n:030}" for n in range(1000)}
    with closing(Database(postgres_url)) as database:
        await database.write(_write, *topics)
    heard = {topic for payload in _heard(listener) for topic in payload.split(" ")[1:]}
    assert heard == topics


async def test_what_is_rolled_back_is_not_notified(postgres_url: str, listener: psycopg.Connection) -> None:
    def fail(session: Session) -> None:
        notify_on_commit(session, "runs")
        raise RuntimeError("planned")

    with closing(Database(postgres_url)) as database:
        with pytest.raises(RuntimeError, match="planned"):
            await database.write(fail)
        await database.write(_write)
    assert _heard(listener) == []
