"""Endpoints, however many and however silent, hold up no other account's events, nor their own account's elsewhere."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta

import pytest
from sqlmodel import update

from service.kit.db.database import Database
from service.webhooks.models import Endpoint
from tests.hanging_names import Lookups, hanging_names
from tests.loopback import answer
from tests.waiting import until
from tests.webhooks.desk import Desk, customer, desk
from tests.webhooks.rows import ACCOUNT, deliveries, draft, put, put_endpoint, states

_CROWD = 24
_USUAL_SECONDS = 1.0
_OTHER = "acc_2"


@pytest.fixture
def lookups() -> Iterator[Lookups]:
    with hanging_names() as found:
        yield found


async def _keep_working(sender: Desk) -> None:
    while True:
        await sender.deliverer.step()
        await asyncio.sleep(0.02)  # the worker's loop is woken; this one looks


async def _taken_within(
    sender: Desk, got: Sequence[object], seconds: float, *, local_deliverer: bool, account_id: str = _OTHER
) -> bool:
    """Return True if an event of this account arrives in time, by either way."""
    working = asyncio.create_task(_keep_working(sender))
    began = time.monotonic()
    await sender.tell(draft("det_other", account_id=account_id))
    if local_deliverer:
        working.cancel()
    await until(lambda: got, seconds=8)
    took = time.monotonic() - began
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    return took < seconds


@pytest.mark.parametrize("local_deliverer", [False, True])
async def test_names_that_are_never_answered_hold_up_no_other_account(
    database: Database, lookups: Lookups, local_deliverer: bool
) -> None:
    async with customer() as receiver, desk(database, local_deliverer=local_deliverer, capacity=16) as sender:
        for n in range(_CROWD):
            put_endpoint(database, url=f"http://n{n}.silent.example/in")
        there = receiver.url.replace("127.0.0.1", "a.home.example")
        put_endpoint(database, url=there, account_id=_OTHER)
        await sender.tell(draft())
        await sender.deliverer.step()
        await until(lambda: lookups.hanging)
        assert await _taken_within(sender, receiver.got, 2 * _USUAL_SECONDS, local_deliverer=local_deliverer)
        assert lookups.hanging <= 2
        lookups.answered.set()


async def test_receivers_that_never_answer_hold_up_no_other_account(database: Database) -> None:
    async with customer(slow=True) as silent, customer() as receiver, desk(database, capacity=16) as sender:
        for _ in range(_CROWD):
            put_endpoint(database, url=silent.url)
        put_endpoint(database, url=receiver.url, account_id=_OTHER)
        await sender.tell(draft())
        await sender.deliverer.step()
        await until(lambda: silent.got)
        assert await _taken_within(sender, receiver.got, 2 * _USUAL_SECONDS, local_deliverer=False)
        silent.open.set()


@pytest.mark.parametrize("local_deliverer", [False, True])
async def test_receivers_that_never_answer_do_not_hold_up_their_own_account(
    database: Database, local_deliverer: bool
) -> None:
    """A backlog at eight silent endpoints could fill the account's share four times over."""
    async with (
        customer(slow=True) as silent,
        customer() as receiver,
        desk(database, local_deliverer=local_deliverer, capacity=64) as sender,
    ):
        for _ in range(8):
            put_endpoint(database, url=silent.url)
        for n in range(16):
            await sender.tell(draft(f"det_{n}"))
        await sender.deliverer.step()
        await until(lambda: silent.got)
        put_endpoint(database, url=receiver.url)
        assert await _taken_within(
            sender, receiver.got, 2 * _USUAL_SECONDS, local_deliverer=local_deliverer, account_id=ACCOUNT
        )
        silent.open.set()


async def test_an_endpoint_that_refuses_is_probed_once_a_second_and_its_others_wait(database: Database) -> None:
    refuses = customer(lambda _: answer(b"", status="500 Internal Server Error"))
    async with refuses as down, desk(database, capacity=16) as sender:
        put_endpoint(database, url=down.url)
        put(database, *(draft(f"det_{n}") for n in range(120)))
        for _ in range(60):
            await sender.deliverer.step()
            await asyncio.sleep(0.01)
            sender.clock.wait(0.005)
    tried = [row for row in deliveries(database) if row.attempts]
    assert len(tried) <= 10 + 4
    assert all(row.due_at is not None and row.due_at <= sender.clock() + timedelta(seconds=6) for row in tried)


async def test_an_account_that_has_its_share_goes_on_when_half_of_it_is_done(database: Database) -> None:
    async with customer(slow=True) as receiver, desk(database, capacity=8) as sender:
        for _ in range(4):
            put_endpoint(database, url=receiver.url)
        await sender.tell(*(draft(f"det_{n}") for n in range(10)))
        assert not await sender.deliverer.step()
        await until(lambda: len(receiver.got) == 4)
        assert sender.kicks == []
        receiver.open.set()
        await sender.idle()
        while sender.kicks:  # the worker's loop comes back as often
            sender.kicks.clear()
            await sender.work()
    assert states(database) == ["succeeded"] * 40


async def test_an_endpoint_that_failed_once_is_forgotten_after_a_while(database: Database) -> None:
    async with customer(lambda _: answer(b"", status="500 No")) as receiver, desk(database) as sender:
        for _ in range(30):
            put_endpoint(database, url=receiver.url)
        await sender.tell(draft())
        await sender.work()
        assert len(sender.deliverer._admission._throttles) == 30
        sender.clock.wait(7200)
        with database.writing() as session:
            session.exec(update(Endpoint).values(status="disabled"))
        await sender.work()
        assert sender.deliverer._admission._throttles == {}
