"""Recording and claiming in one transaction."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import event

from service.kit.concurrency.shares import Shares
from service.kit.db.database import Database
from service.webhooks.queue.record import ClaimRequest, ClaimResult, Done, Step, turns
from service.webhooks.sending import deliver
from tests.webhooks.desk import customer, desk
from tests.webhooks.rows import LEASE, NOW, claimed, draft, finished, outbox, put, put_endpoint, states

LATER = NOW + timedelta(seconds=1)


def turn(database: Database, *batch: Step) -> list[Done]:
    with database.writing() as session:
        return list(turns(outbox())(session, batch))


def wanted(limit: int = 10, capacity: int = 100) -> ClaimRequest:
    return ClaimRequest(LATER, LATER + LEASE, limit, Shares(capacity))


def ids(done: Done) -> list[str | None]:
    assert isinstance(done, ClaimResult)
    return [claim.detection_id for claim in done.claims]


def test_each_step_has_its_own_answer_in_one_transaction(database: Database) -> None:
    put_endpoint(database)
    put(database, *(draft(f"det_{n}") for n in range(4)))
    first, second = claimed(database, limit=2)
    lost = finished(second)._replace(claim=second._replace(lease_token="another's"))
    commits: list[object] = []
    event.listen(database.engine, "commit", commits.append)
    recorded, claim, not_ours = turn(database, finished(first), wanted(), lost)
    assert (recorded, not_ours) == (True, False)
    assert ids(claim) == ["det_2", "det_3"]
    assert len(commits) == 1


def test_what_a_record_lets_pass_is_claimed_in_the_same_turn(database: Database) -> None:
    put_endpoint(database)
    put(database, draft(), draft())
    (older,) = claimed(database)
    claim, recorded = turn(database, wanted(), finished(older))
    assert recorded is True
    assert ids(claim) == ["det_1"]
    assert states(database) == ["succeeded", "due"]


def test_a_turn_that_is_repeated_begins_with_the_same_places(database: Database) -> None:
    for n in range(4):
        put_endpoint(database, account_id=f"acc_{n % 2}")
    put(database, *(draft(f"det_{n}", account_id=f"acc_{n % 2}") for n in range(4)))
    want = wanted(capacity=4)
    for _ in range(2):
        with database.writing() as session:
            (done,) = turns(outbox())(session, [want])
            assert isinstance(done, ClaimResult)
            assert (len(done.claims), set(done.refused)) == (4, {"acc_0", "acc_1"})
            session.rollback()
    assert (want.shares.room, want.shares.refused) == (4, set())


async def test_a_delivery_of_a_backlog_costs_a_fiftieth_of_a_transaction(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliver, "_GATHER_SECONDS", 600)  # never by the clock: the count must be the same each time
    many = 600
    async with customer() as receiver, desk(database, per_endpoint=256) as sender:
        endpoint_id, _ = put_endpoint(database, url=receiver.url)
        for _ in range(256):  # it has answered well so far
            sender.deliverer._admission.throttle(endpoint_id).note(sender.clock(), succeeded=True)
        told = await sender.tell(*(draft(f"det_{n}") for n in range(many)))
        kicked = asyncio.Event()
        sender.deliverer.kick = kicked.set
        commits: list[object] = []
        event.listen(database.engine, "commit", commits.append)
        while sender.deliverer.counts["succeeded"] < many:
            kicked.clear()
            while await sender.deliverer.step():
                pass
            waits = [asyncio.create_task(kicked.wait()), asyncio.create_task(sender.idle())]
            await asyncio.wait(waits, timeout=10, return_when="FIRST_COMPLETED")
            for task in waits:
                task.cancel()
        assert sorted(receiver.ids) == sorted(told)
    assert len(commits) <= many / 50
    assert states(database) == ["succeeded"] * many


async def test_nothing_more_is_claimed_while_a_whole_capacity_waits_to_be_recorded(database: Database) -> None:
    async with customer() as receiver, desk(database, capacity=8) as sender:
        put_endpoint(database, url=receiver.url)
        await sender.tell(draft())
        sender.deliverer._unrecorded = 8
        assert not await sender.deliverer.step()
        assert sender.deliverer.reserve(["acc_1"], NOW) is None
        sender.deliverer._unrecorded = 0
        await sender.work()
        assert len(receiver.got) == 1
