"""The customer of these tests counts what was sent to it, and nothing else."""

from service.kit.db.database import Database
from service.webhooks.sending.attempt import attempt
from tests.webhooks.desk import LOOPBACK, customer, desk, session_on
from tests.webhooks.rows import draft, put_endpoint


async def test_a_strangers_request_to_a_port_it_once_knew_is_not_taken_for_a_delivery(database: Database) -> None:
    async with customer(slow=True) as receiver, desk(database) as sender:
        put_endpoint(database, url=receiver.url)
        (event_id,) = await sender.tell(draft())
        await sender.deliverer.step()
        async with session_on(LOOPBACK) as session:
            stray = await attempt(session, f"{receiver.peer.url}/in", b"{}", {"webhook-id": "evt_old"})
        receiver.open.set()
        await sender.idle()
    assert (stray.status_code, receiver.strangers) == (404, ["POST /in HTTP/1.1"])
    assert receiver.ids == [event_id]
