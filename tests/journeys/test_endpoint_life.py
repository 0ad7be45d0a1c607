"""An endpoint switched off and on again, with real processes: nothing is lost, and every signature holds."""

import json
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from standardwebhooks.webhooks import Webhook

from tests.journeys.customer import Customer, customer
from tests.journeys.outside import inbox
from tests.journeys.processes import deployment
from tests.waiting import until

PATH = "/v1/webhook-endpoints"

pytestmark = pytest.mark.timeout(120)


async def test_what_was_held_arrives_when_the_endpoint_is_enabled(sqlite_url: str, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        box = await stack.enter_async_context(inbox())
        one = stack.enter_context(deployment(sqlite_url, tmp_path))
        one.process("web", "--with-worker").start()
        await one.ready()
        here = Customer(await stack.enter_async_context(customer(one.url, await one.key("test"))))
        asked = {"url": box.url, "events": ["webhook_endpoint.*"]}
        mine = await here.post(PATH, json=asked)
        other = await here.post(PATH, json=asked)
        box.secrets.append(mine["secret"])

        await here.post(f"{PATH}/{mine['id']}/disable")
        await until(lambda: len(box.receiver.received) == 1)  # the other hears of it; its signature is not ours
        await here.post(f"{PATH}/{other['id']}/disable")
        held = (await here.client.get("/v1/deliveries", params={"endpoint": mine["id"]})).json()["data"]
        assert [(each["status"], each["event_type"]) for each in held] == [("held", "webhook_endpoint.disabled")]

        await here.post(f"{PATH}/{mine['id']}/enable")
        await until(lambda: [each for each in box.receiver.received if each.webhook_id == held[0]["event_id"]])
        (arrived,) = [each for each in box.receiver.received if each.webhook_id == held[0]["event_id"]]
        assert arrived.verified
        assert json.loads(arrived.body)["data"]["endpoint_id"] == other["id"]

        new = (await here.post(f"{PATH}/{mine['id']}/rotate-secret"))["secret"]
        pinged = await here.post(f"{PATH}/{mine['id']}/ping")
        await until(lambda: [each for each in box.receiver.received if each.webhook_id == pinged["event_id"]])
        (ping,) = [each for each in box.receiver.received if each.webhook_id == pinged["event_id"]]
        for secret in (mine["secret"], new):
            assert Webhook(secret).verify(ping.body, ping.headers)["type"] == "webhook_endpoint.ping"

        async def taken(tries: int) -> bool:
            delivery = (await here.client.get(f"/v1/deliveries/{pinged['delivery_id']}")).json()
            return delivery["status"] == "succeeded" and [each["n"] for each in delivery["attempts"]] == [1, 2][:tries]

        await until(lambda: taken(1))
        again = await here.post(f"/v1/deliveries/{pinged['delivery_id']}/resend")
        assert again["event_id"] == pinged["event_id"]
        await until(lambda: taken(2))
        assert box.receiver.duplicates == 1
