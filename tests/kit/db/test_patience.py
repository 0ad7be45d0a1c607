"""PostgreSQL is waited for as long as was set and no longer, whatever stands between."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlmodel import Session

from service.kit.concurrency.wake import Wake
from service.kit.db.database import Database, normalise_url
from service.kit.db.deadlock_retry import REPEATED
from service.kit.db.listen import listen
from service.kit.db.patience import FOREVER, UNHURRIED, Deadline, Patience
from service.kit.db.postgres import TooLate
from service.kit.errors import Overdue
from service.kit.process.watchdog import Watchdog, _is_refusal
from tests.api import troubles
from tests.kit.things import THING, count, make_table, names, put
from tests.proxy import Proxy, proxy_to
from tests.waiting import until

pytestmark = pytest.mark.own_database

SHORT = Patience(connect=2, line=2, statement=2, lock=0.4, idle=5)


@contextmanager
def opened(url: str, patience: Patience = SHORT, connections: int = 8) -> Iterator[Database]:
    with closing(Database(url, patience=patience, connections=connections)) as database:
        yield database


@asynccontextmanager
async def behind_a_proxy(url: str, patience: Patience = SHORT) -> AsyncIterator[tuple[Database, Proxy]]:
    async with proxy_to(url) as proxy:
        database = Database(proxy.url, patience=patience)
        try:
            yield database, proxy
        finally:
            await asyncio.to_thread(database.close)  # the proxy is served by this event loop


def limits(session: Session) -> dict[str, str]:
    wanted = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
    return {name: str(session.connection().execute(text(f"SHOW {name}")).scalar_one()) for name in wanted}


@contextmanager
def held(database: Database, name: str) -> Iterator[None]:
    """Somebody else has locked the row of this name."""
    with database.writing() as session:
        session.connection().execute(THING.select().where(THING.c.id == name).with_for_update())
        yield


def touch(session: Session, name: str) -> None:
    session.connection().execute(THING.update().where(THING.c.id == name).values(state="touched"))


async def test_the_server_is_told_the_limits(postgres_url: str) -> None:
    with opened(postgres_url, Patience()) as database:
        said = await database.read(limits)
    assert list(said.values()) == ["30s", "10s", "1min"]


async def test_what_the_address_says_holds_instead(postgres_url: str) -> None:
    own = "&options=-c%20statement_timeout%3D90s%20-c%20search_path%3Dpublic&connect_timeout=9&tcp_user_timeout=7"
    with opened(postgres_url + own) as database:
        said = await database.read(limits)
        assert list(said.values()) == ["90s", "400ms", "5s"]
        assert database.patience.answer > 90
        told = database.patience.parameters(database.url)
    assert not {"connect_timeout", "tcp_user_timeout"} & set(told)
    assert told["keepalives"] == 1


@pytest.mark.parametrize(
    ("options", "seconds"),
    [
        ("-c statement_timeout=0", 0),
        ("-cstatement_timeout=4500", 4.5),
        ("--statement_timeout=2min", 120),
        ("-c x=y", 2),
    ],
)
def test_our_own_limit_never_comes_before_the_one_in_the_address(options: str, seconds: float) -> None:
    url = normalise_url("postgresql://relay@host/relay").update_query_dict({"options": options})
    patience = SHORT.of(url)
    assert patience.statement == seconds
    assert patience.answer > seconds if seconds else patience.answer == FOREVER


async def test_migrations_take_as_long_as_they_take(postgres_url: str) -> None:
    with opened(postgres_url, UNHURRIED) as database:
        assert set((await database.read(limits)).values()) == {"0"}


async def test_where_a_pooler_refuses_options_each_transaction_sets_the_limits(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(postgres_url) as database:
        with monkeypatch.context() as patched:
            patched.setattr(Patience, "parameters", refusing(Patience.parameters))
            said = [await database.read(limits), await database.write(limits)]
        assert [list(each.values()) for each in said] == [["2s", "400ms", "5s"]] * 2
        outside = await asyncio.to_thread(session_limit, database)
    assert outside == "0"


def refusing(parameters: object) -> object:
    """As a pooler answers to what it does not know (PgBouncer's words)."""

    def told(self: Patience, url: object, *, options: bool = True) -> object:
        if options:
            raise psycopg.OperationalError("FATAL:  unsupported startup parameter: options")
        return parameters(self, url, options=False)  # type: ignore[operator]  # a function of the class

    return told


def session_limit(database: Database) -> str:
    raw = database.engine.raw_connection()
    try:
        raw.driver_connection.autocommit = True  # type: ignore[union-attr]  # psycopg's
        (value,) = raw.driver_connection.execute("SHOW statement_timeout").fetchone()  # type: ignore[union-attr]
        return str(value)
    finally:
        raw.close()


async def test_a_statement_that_takes_too_long_is_ended_by_the_server_and_the_connection_stays(
    postgres_url: str,
) -> None:
    def sleep(session: Session) -> None:
        session.connection().execute(text("SELECT pg_sleep(30)"))

    with opened(postgres_url, Patience(statement=0.3)) as database:
        with pytest.raises(OperationalError, match="statement timeout") as caught:
            await database.read(sleep)
        assert not caught.value.connection_invalidated
        assert await database.read(limits)


async def test_a_lock_that_is_freed_meanwhile_is_waited_for(postgres_url: str) -> None:
    before = REPEATED.value("lock")
    with opened(postgres_url) as database:
        make_table(database)
        await database.write(put, "a")
        with held(database, "a"):
            writing = asyncio.create_task(database.write(touch, "a"))
            await until(lambda: REPEATED.value("lock") > before)
        await writing


async def test_a_lock_that_stays_fails_in_time_and_leaves_threads_to_others(postgres_url: str) -> None:
    patience = Patience(connect=2, statement=5, lock=1.2)
    with opened(postgres_url, patience, connections=2) as database:
        make_table(database)
        await database.write(put, "a", "b")
        with held(database, "a"):
            begun = time.monotonic()
            stuck = [asyncio.create_task(database.write(touch, "a")) for _ in range(4)]
            await asyncio.sleep(0)
            await database.write(touch, "b")
            assert time.monotonic() - begun < 2 * 2 * patience.lock
            failed = await asyncio.gather(*stuck, return_exceptions=True)
        assert {type(error) for error in failed} <= {OperationalError, Overdue}
        assert time.monotonic() - begun < patience.answer + 1
        await database.write(touch, "a")


async def test_a_line_that_goes_dead_between_two_calls_is_noticed_and_replaced(postgres_url: str) -> None:
    async with behind_a_proxy(postgres_url) as (database, proxy):
        await asyncio.to_thread(make_table, database)
        proxy.stop()
        begun = time.monotonic()
        failed = await asyncio.gather(*(database.read(count) for _ in range(20)), return_exceptions=True)
        assert {type(error) for error in failed} <= {OperationalError, Overdue}
        assert time.monotonic() - begun < SHORT.answer + 2
        proxy.go_on()
        assert await database.read(count) == 0


async def test_a_line_that_goes_dead_in_the_middle_of_a_transaction_ends_it(postgres_url: str) -> None:
    async with behind_a_proxy(postgres_url) as (database, proxy):
        await asyncio.to_thread(make_table, database)
        begun = threading.Event()

        def write(session: Session) -> None:
            put(session, "a")
            begun.set()
            stopped.wait(10)
            put(session, "b")

        stopped = threading.Event()
        writing = asyncio.create_task(database.write(write))
        await asyncio.to_thread(begun.wait, 10)
        proxy.stop()
        stopped.set()
        with pytest.raises(OperationalError, match="in time"):
            await writing
        proxy.go_on()
        assert await database.read(names) == []


async def test_closing_does_not_wait_for_a_line_that_is_dead(postgres_url: str) -> None:
    async with proxy_to(postgres_url) as proxy:
        database = Database(proxy.url)
        await database.read(limits)
        proxy.stop()
        asking = asyncio.create_task(database.read(limits))
        await asyncio.sleep(0.1)
        begun = time.monotonic()
        await asyncio.to_thread(database.close)
        assert time.monotonic() - begun < 5
        with pytest.raises(OperationalError):
            await asking


async def test_an_ear_on_a_dead_line_notices_and_hears_again(postgres_url: str) -> None:
    async with proxy_to(postgres_url) as proxy:
        wake = Wake()
        wake.attach()
        event = wake.subscribe("topic")
        quick = Patience(connect=0.3)
        listening = asyncio.create_task(listen(normalise_url(proxy.url), wake, quick))
        await asyncio.wait_for(event.wait(), 10)  # it woke everybody when it began
        event.clear()
        proxy.stop()
        await asyncio.sleep(1)
        proxy.go_on()
        await asyncio.wait_for(event.wait(), 10)
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


async def test_the_watchdog_ends_a_process_that_is_not_served(postgres_url: str) -> None:
    ended = threading.Event()
    async with behind_a_proxy(postgres_url, Patience(connect=2, statement=1)) as (database, proxy):
        await database.read(limits)
        dog = Watchdog(database, 3.0, ended.set)
        watch = threading.Thread(target=dog.watch)
        watch.start()
        assert not await asyncio.to_thread(ended.wait, 4)  # nobody asks for anything, and all is well
        proxy.stop()
        assert await asyncio.to_thread(ended.wait, 30)
        await asyncio.to_thread(watch.join)


async def test_the_watchdog_lets_a_process_be_that_is_served_again(postgres_url: str) -> None:
    ended = threading.Event()
    async with behind_a_proxy(postgres_url, Patience(connect=2, statement=1)) as (database, proxy):
        dog = Watchdog(database, 8.0, ended.set)
        watch = threading.Thread(target=dog.watch)
        watch.start()
        proxy.stop()
        await asyncio.sleep(1)
        proxy.go_on()
        before = database.good_at
        await until(lambda: database.good_at > before)
        dog.stop()
        await asyncio.to_thread(watch.join)
    assert not ended.is_set()


QUICK = Patience(connect=0)  # for a watchdog that has less time than a connection may take
REFUSALS = [
    "connection failed: Connection refused",
    "FATAL:  the database system is starting up",
    'FATAL:  too many connections for role "relay"',
    "failed to resolve host 'db': Name or service not known",
]


NO_ANSWERS = [psycopg.errors.ConnectionTimeout("connection timeout expired"), TooLate("no answer")]


@pytest.mark.parametrize("words", REFUSALS)
def test_these_words_are_a_refusal(words: str) -> None:
    assert _is_refusal(psycopg.OperationalError(words))


@pytest.mark.parametrize("error", NO_ANSWERS)
def test_silence_is_no_refusal(error: Exception) -> None:
    assert not _is_refusal(error)


async def test_the_watchdog_lets_a_process_be_that_is_plainly_refused(postgres_url: str) -> None:
    ended = threading.Event()
    with opened(postgres_url, QUICK) as database:
        dog = Watchdog(database, 3.0, ended.set)
        with troubles.refusing(database, psycopg.OperationalError(REFUSALS[0])):
            watch = threading.Thread(target=dog.watch)
            watch.start()
            assert not await asyncio.to_thread(ended.wait, 4)
        before = database.good_at
        await until(lambda: database.good_at > before)
        dog.stop()
        await asyncio.to_thread(watch.join)
    assert not ended.is_set()


@pytest.mark.parametrize("error", NO_ANSWERS)
async def test_the_watchdog_ends_a_process_whose_connections_are_never_answered(
    postgres_url: str, error: Exception
) -> None:
    ended = threading.Event()
    with opened(postgres_url, QUICK) as database, troubles.refusing(database, error):
        watch = threading.Thread(target=Watchdog(database, 0.3, ended.set).watch)
        watch.start()
        assert await asyncio.to_thread(ended.wait, 30)
        await asyncio.to_thread(watch.join)


async def test_the_watchdog_ends_a_process_whose_threads_all_hang(postgres_url: str) -> None:
    ended, go_on = threading.Event(), threading.Event()
    with opened(postgres_url, QUICK, connections=2) as database:
        for _ in range(2):
            database.call(lambda: go_on.wait(10), Deadline(10))
        with troubles.refusing(database, psycopg.OperationalError(REFUSALS[0])):
            watch = threading.Thread(target=Watchdog(database, 0.3, ended.set).watch)
            watch.start()
            assert await asyncio.to_thread(ended.wait, 30)
        go_on.set()
        await asyncio.to_thread(watch.join)
