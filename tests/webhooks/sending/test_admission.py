"""An endpoint that is busy and quick: what is claimed for it waits a moment in memory."""

from service.kit.db.database import Database
from tests.waiting import until
from tests.webhooks.desk import customer, desk
from tests.webhooks.rows import deliveries, draft, put_endpoint


async def test_a_crowd_for_a_quick_endpoint_goes_out_at_once(database: Database) -> None:
    """Handed back, each would come a second later at the earliest: one endpoint had 32 events a second and no more."""
    async with customer() as receiver, desk(database, per_endpoint=2) as sender:
        put_endpoint(database, url=receiver.url)
        await sender.tell(draft("det_first"))  # shows how quick it is
        await sender.work()
        await sender.tell(*(draft(f"det_{n}") for n in range(8)))
        await sender.work()
        assert len(receiver.got) == 9
    assert {delivery.attempts for delivery in deliveries(database)} == {1}


async def test_what_waits_for_an_endpoint_that_falls_silent_is_handed_back(database: Database) -> None:
    async with customer() as receiver, desk(database, per_endpoint=1) as sender:
        put_endpoint(database, url=receiver.url)
        await sender.tell(draft("det_first"))
        await sender.work()
        receiver.open.clear()
        await sender.tell(draft("det_stuck"), draft("det_behind"))
        while await sender.deliverer.step():
            pass
        await until(lambda: len(receiver.got) == 2)
        sender.clock.wait(1)
        await until(lambda: [each.lease_token for each in deliveries(database)].count(None) == 2)
        receiver.open.set()
        await sender.idle()
        sender.clock.wait(1)
        await sender.work()
    assert len(set(receiver.ids)) == len(receiver.ids) == 3
