"""From a stored event to a customer who verifies it: once if all goes well, again if a process dies."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sqlmodel import select
from standardwebhooks.webhooks import Webhook
from structlog.testing import capture_logs

from service.events.models import Event
from service.kit.db.database import Database
from service.kit.security.sealing import Sealer
from service.kit.security.signatures import new_secret
from service.webhooks.models import Endpoint, EndpointSecret
from service.webhooks.queue.claim import claim_deliveries
from service.webhooks.sending.signing import SECRET_PURPOSE
from tests.loopback import answer
from tests.waiting import until
from tests.webhooks.desk import StillClock, customer, desk
from tests.webhooks.rows import (
    LEASE,
    NOW,
    SEALER,
    attempts,
    deliveries,
    draft,
    put_endpoint,
    states,
)


def failing(*statuses: int) -> Callable[[int], bytes]:
    """Answers with these statuses in turn, then 200."""
    return lambda n: answer(b"no", status=f"{statuses[n - 1]} No") if n <= len(statuses) else answer(b"yes")


async def test_the_standards_own_package_verifies_what_arrived_with_each_of_two_secrets(database: Database) -> None:
    async with customer() as receiver, desk(database, clock=StillClock(datetime.now(UTC))) as sender:
        endpoint_id, old = put_endpoint(database, url=receiver.url, headers={"X-Route": "blue; v=1"})
        new = new_secret()
        with database.writing() as session:
            sealed = SEALER.seal(SECRET_PURPOSE, "whs_new", new.encode())
            session.add(EndpointSecret(id="whs_new", endpoint_id=endpoint_id, sealed=sealed, valid_from=NOW))
        (event_id,) = await sender.tell(draft(data={"id": "det_1", "title": "Żółć 🎵"}))
        await sender.work()
        ((headers, body),) = receiver.got
    with database.reading() as session:
        assert body == session.exec(select(Event.body)).one()
    assert headers["webhook-id"] == event_id
    assert headers["x-route"] == "blue; v=1"
    assert headers["content-type"] == "application/json"
    for secret in (old, new):
        assert Webhook(secret).verify(body, headers)["data"]["title"] == "Żółć 🎵"
    assert len(headers["webhook-signature"].split()) == 2


async def test_what_was_taken_is_delivered_once(database: Database) -> None:
    async with customer() as receiver, desk(database) as sender:
        put_endpoint(database, url=receiver.url)
        told = await sender.tell(*(draft(f"det_{n}") for n in range(10)))
        for _ in range(3):
            await sender.work()
            sender.clock.wait(3600)
        assert sorted(receiver.ids) == sorted(told)
        assert sender.deliverer.counts == {"succeeded": 10}
    assert states(database) == ["succeeded"] * 10
    assert [attempt.error_class for attempt in attempts(database)] == [None] * 10


async def test_the_schedule_is_followed_with_the_same_id_until_it_is_taken(database: Database) -> None:
    async with customer(failing(500, 429)) as receiver, desk(database) as sender:
        put_endpoint(database, url=receiver.url)
        (event_id,) = await sender.tell(draft())
        for wait, seen in ((0, 1), (4.9, 1), (0.1, 2), (299, 2), (1, 3), (9999, 3)):
            sender.clock.wait(wait)
            await sender.work()
            assert receiver.ids == [event_id] * seen
    assert states(database) == ["succeeded"]
    assert [attempt.status_code for attempt in attempts(database)] == [500, 429, 200]
    assert [attempt.response_excerpt for attempt in attempts(database)] == [b"no", b"no", b"yes"]
    assert len({headers["webhook-timestamp"] for headers, _ in receiver.got}) == 3


async def test_after_the_last_try_it_is_given_up(database: Database) -> None:
    async with customer(failing(*[500] * 9)) as receiver, desk(database) as sender:
        put_endpoint(database, url=receiver.url)
        await sender.tell(draft())
        for _ in range(5):
            await sender.work()
            sender.clock.wait(3600)
        assert len(receiver.got) == 3
    assert states(database) == ["exhausted"]


async def test_what_is_handed_over_is_sent_without_a_claim(database: Database) -> None:
    async with customer() as receiver, desk(database, local_deliverer=True) as sender:
        put_endpoint(database, url=receiver.url)
        told = await sender.tell(draft("det_1"), draft("det_2"))
        await until(lambda: states(database) == ["succeeded"] * 2)
        assert sorted(receiver.ids) == sorted(told)


async def test_what_is_handed_over_for_an_endpoint_that_stands_by_then_is_held(database: Database) -> None:
    async with customer() as receiver, desk(database, local_deliverer=True) as sender:
        endpoint_id, _ = put_endpoint(database, url=receiver.url)
        with database.writing() as session:
            sender.outbox.record(session, [draft()], NOW)
            session.get_one(Endpoint, endpoint_id).status = "disabled"
        await until(lambda: states(database) == ["held"])
        assert receiver.got == []


async def test_a_process_that_dies_in_the_middle_loses_nothing(database: Database) -> None:
    async with customer(slow=True) as receiver:
        put_endpoint(database, url=receiver.url)
        async with desk(database) as first:
            (event_id,) = await first.tell(draft())
            await first.deliverer.step()
            await until(lambda: len(receiver.got) == 1)
            for task in first.deliverer._under_way:
                task.cancel()
            await until(lambda: not first.deliverer._under_way)
        assert attempts(database) == []
        receiver.open.set()
        async with desk(database) as second:
            await second.work()
            assert len(receiver.got) == 1
            second.clock.wait(60)
            await second.work()
        assert receiver.ids == [event_id] * 2
    assert states(database) == ["succeeded"]
    assert [attempt.n for attempt in attempts(database)] == [1]


async def test_an_attempt_that_outlived_its_lease_is_not_recorded(database: Database) -> None:
    async with customer(slow=True) as receiver, desk(database) as slow, desk(database) as quick:
        put_endpoint(database, url=receiver.url)
        await slow.tell(draft())
        await slow.deliverer.step()
        quick.clock.wait(60)
        await quick.deliverer.step()
        await until(lambda: len(receiver.got) == 2)
        with capture_logs() as logs:
            receiver.open.set()
            await asyncio.gather(slow.idle(), quick.idle())
    assert len(attempts(database)) == 1
    assert sorted(line["recorded"] for line in logs if line["event"] == "delivery.attempted") == [False, True]


async def test_no_second_sees_more_than_the_endpoints_rate(database: Database) -> None:
    async with customer() as receiver, desk(database) as sender:
        put_endpoint(database, url=receiver.url, rate=3)
        await sender.tell(*(draft(f"det_{n}") for n in range(10)))
        for _ in range(20):
            await sender.work()
            sender.clock.wait(0.25)
        per_second = Counter(headers["webhook-timestamp"] for headers, _ in receiver.got)
        assert len(receiver.got) == 10
        assert max(per_second.values()) == 3
    assert {delivery.attempts for delivery in deliveries(database)} == {1}


async def test_a_slow_endpoint_has_its_share_and_others_do_not_wait_for_it(database: Database) -> None:
    async with customer(slow=True) as slow, customer() as quick, desk(database, capacity=8, per_endpoint=2) as sender:
        put_endpoint(database, url=slow.url, events=["detection.completed"])
        await sender.tell(*(draft(f"det_{n}") for n in range(30)))
        put_endpoint(database, url=quick.url)
        sender.clock.wait(0.5)
        await sender.tell(draft("det_last"))
        while await sender.deliverer.step():
            pass
        await until(lambda: len(quick.got) == 1)
        await until(lambda: len(slow.got) == 2)
        waiting = [each for each in deliveries(database) if each.state == "due" and each.lease_token is None]
        assert len({delivery.due_at for delivery in waiting}) > len(waiting) // 2
        slow.open.set()
        for _ in range(60):
            await sender.work()
            sender.clock.wait(1)
        assert len(set(slow.ids)) == len(slow.ids) == 31


async def test_hand_overs_leave_room_for_what_is_claimed(database: Database) -> None:
    async with customer(slow=True) as receiver, desk(database, local_deliverer=True, capacity=8) as sender:
        for n in range(12):
            put_endpoint(database, url=receiver.url, account_id=f"acc_{n}")
            await sender.tell(draft(account_id=f"acc_{n}"))
        await until(lambda: len(receiver.got) == 6)
        assert sum(delivery.lease_token is None for delivery in deliveries(database)) == 6
        await sender.deliverer.step()
        await until(lambda: len(receiver.got) == 8)


async def test_a_full_desk_is_refilled_when_half_is_done(database: Database) -> None:
    async with customer(slow=True) as receiver, desk(database, capacity=8) as sender:
        for n in range(10):
            put_endpoint(database, url=receiver.url, account_id=f"acc_{n}")
            await sender.tell(draft(account_id=f"acc_{n}"))
        assert await sender.deliverer.step()
        assert not await sender.deliverer.step()
        assert sender.kicks == []
        receiver.open.set()
        await sender.idle()
        assert sender.kicks
        await sender.work()
    assert states(database) == ["succeeded"] * 10


async def test_a_draining_desk_finishes_what_it_has_and_takes_nothing_new(database: Database) -> None:
    async with customer(slow=True) as receiver, desk(database) as sender:
        put_endpoint(database, url=receiver.url)
        told = await sender.tell(draft("det_1"))
        await sender.deliverer.step()
        await until(lambda: len(receiver.got) == 1)
        draining = asyncio.create_task(sender.deliverer.drain(10))
        await until(lambda: sender.deliverer._pool.closed)
        await sender.tell(draft("det_2"))
        assert not await sender.deliverer.step()
        assert sender.deliverer.reserve(["acc_1"], NOW) is None
        receiver.open.set()
        await draining
        assert receiver.ids == told
    assert states(database) == ["succeeded", "due"]
    assert deliveries(database)[1].lease_token is None


async def test_what_was_handed_over_too_late_is_handed_back_at_once(database: Database) -> None:
    async with customer() as receiver, desk(database, local_deliverer=True) as sender:
        put_endpoint(database, url=receiver.url)
        with database.writing() as session:
            sender.outbox.record(session, [draft()], NOW)
            sender.deliverer._pool.closed = True
        await until(lambda: deliveries(database)[0].lease_token is None)
        assert (deliveries(database)[0].due_at, receiver.got) == (NOW, [])


async def test_a_drain_that_is_out_of_time_hands_the_rest_back_at_once(database: Database) -> None:
    async with customer(slow=True) as receiver, desk(database) as sender:
        put_endpoint(database, url=receiver.url)
        await sender.tell(draft())
        await sender.deliverer.step()
        await until(lambda: len(receiver.got) == 1)
        with capture_logs() as logs:
            await sender.deliverer.drain(0.05)
        assert not sender.deliverer._under_way
    (delivery,) = deliveries(database)
    assert (delivery.state, delivery.attempts, delivery.due_at, delivery.lease_token) == ("due", 0, NOW, None)
    assert attempts(database) == []
    (line,) = [line for line in logs if line["event"] == "delivery.handed_back"]
    assert line["delivery_id"] == delivery.id
    assert {"account_id", "mode", "endpoint_id", "event_id", "detection_id"} <= line.keys()


async def test_a_broken_seal_is_a_fault_of_ours_that_waits_its_turn(database: Database) -> None:
    async with customer() as receiver:
        put_endpoint(database, url=receiver.url)
        async with desk(database, sealer=Sealer(["another key " * 4])) as broken:
            await broken.tell(draft())
            with capture_logs() as logs:
                for _ in range(5):
                    await broken.work()
            assert [line["event"] for line in logs].count("delivery.internal_fault") == 1
        (attempt,) = attempts(database)
        assert (attempt.status_code, attempt.error_class) == (None, "internal")
        assert json.loads(attempt.phases_json) == dict.fromkeys(("dns", "connect", "tls", "first_byte", "total"))
        assert [delivery.due_at for delivery in deliveries(database)] == [NOW + timedelta(seconds=5)]
        assert receiver.got == []
        async with desk(database) as mended:
            mended.clock.wait(5)
            await mended.work()
        assert len(receiver.got) == 1
    assert states(database) == ["succeeded"]


async def test_nothing_goes_out_unsigned(database: Database) -> None:
    async with customer() as receiver, desk(database) as sender:
        put_endpoint(database, url=receiver.url)
        with database.writing() as session:
            session.exec(select(EndpointSecret)).one().valid_from = NOW + timedelta(seconds=3)
        await sender.tell(draft())
        await sender.work()
        assert receiver.got == []
        assert [attempt.error_class for attempt in attempts(database)] == ["internal"]
        sender.clock.wait(5)
        await sender.work()
        assert len(receiver.got) == 1


async def test_an_endpoint_that_is_gone_gets_nothing_more(database: Database) -> None:
    async with customer(failing(410)) as receiver, desk(database) as sender:
        put_endpoint(database, url=receiver.url)
        await sender.tell(draft())
        await sender.work()
        await sender.tell(draft("det_2"))
        sender.clock.wait(9999)
        await sender.work()
        assert len(receiver.got) == 1
    assert states(database) == ["held", "held"]


async def test_a_newer_event_arrives_after_the_older(database: Database) -> None:
    async with customer() as receiver, desk(database) as sender:
        put_endpoint(database, url=receiver.url)
        told = await sender.tell(*(draft() for _ in range(4)))
        for _ in range(4):
            await sender.work()
        assert receiver.ids == told


async def test_each_attempt_leaves_one_line_with_every_id(database: Database) -> None:
    async with customer(failing(500)) as receiver, desk(database) as sender:
        endpoint_id, secret = put_endpoint(database, url=receiver.url)
        (event_id,) = await sender.tell(draft())
        with capture_logs() as logs:
            await sender.work()
    (line,) = [each for each in logs if each["event"] == "delivery.attempted"]
    (delivery,) = deliveries(database)
    assert {name: line[name] for name in ("delivery_id", "endpoint_id", "event_id", "detection_id", "n")} == {
        "delivery_id": delivery.id,
        "endpoint_id": endpoint_id,
        "event_id": event_id,
        "detection_id": "det_1",
        "n": 1,
    }
    assert (line["status_code"], line["error_class"], line["state"], line["recorded"]) == (500, "http_5xx", "due", True)
    assert secret not in str(logs)


async def test_what_one_process_has_claimed_no_other_sends(database: Database) -> None:
    async with customer() as receiver, desk(database) as sender:
        put_endpoint(database, url=receiver.url)
        await sender.tell(draft())
        await database.write(claim_deliveries, now=NOW, lease_until=NOW + LEASE, limit=9)
        await sender.work()
        assert receiver.got == []
