"""Reading from a real deployment: a story as it grows, events as they happen, and a stop that cuts nobody short."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.api.listening import listening
from tests.journeys.customer import Customer, customer
from tests.journeys.outside import inbox
from tests.journeys.processes import Deployment, deployment
from tests.waiting import until


@pytest.fixture
def one(database_url: str, tmp_path: Path) -> Iterator[Deployment]:
    with deployment(database_url, tmp_path) as made:
        made.start()
        yield made


async def test_a_detection_is_followed_to_its_delivery_and_a_stop_ends_every_wait(
    one: Deployment, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        box = await stack.enter_async_context(inbox())
        await one.ready()
        key = await one.key("test")
        bearer = {"Authorization": f"Bearer {key}"}
        client = await stack.enter_async_context(customer(one.url, key))
        asker = Customer(client)
        box.secrets.append(await asker.register(box.url))
        events = await stack.enter_async_context(listening(client, "/v1/events/stream", bearer))
        await until(lambda: events.blocks)
        detection_id = await asker.ask(await asker.upload(tmp_path, "song.ai.wav"))
        path = f"/v1/detections/{detection_id}"
        async with listening(client, f"{path}/stream", bearer) as facts:
            await asyncio.wait_for(facts.ended.wait(), 30)
        assert facts.names[0] == "detection.created"
        assert facts.names[-2:] == ["delivery.succeeded", "end"]
        story = (await client.get(f"{path}/timeline")).json()
        ended = [name for name, fact in facts.said[:-1] if fact.get("outcome") != "in_flight"]  # seen by chance
        assert sorted(fact["kind"] for fact in story["data"]) == sorted(ended)
        assert sum(story["waits"].values()) > 0
        kinds = {fact["kind"] for fact in story["data"]}
        assert {"run.submitted", "callback.received", "run.confirmed", "run.observed", "detection.decided"} <= kinds
        await until(lambda: "detection.completed" in events.names)
        pulled = (await client.get("/v1/events")).json()["data"]
        assert pulled == [event for _, event in events.said]
        listed = (await client.get("/v1/detections", params={"verdict": "ai_generated"})).json()["data"]
        assert [item["id"] for item in listed] == [detection_id]

        silent = await asker.upload(tmp_path, "song.lost-callback.ai.wav")
        pending = await asker.ask(silent, detectors=["aippim/standard"])
        waiting = asyncio.create_task(client.get(f"/v1/detections/{pending}", params={"wait": 25}))
        async with listening(client, f"/v1/detections/{pending}/stream", bearer) as told:
            await until(lambda: "run.submitted" in told.names)
            web = one.processes[0]
            begun = time.monotonic()
            web.running.terminate()
            await asyncio.wait_for(asyncio.gather(events.ended.wait(), told.ended.wait()), 5)
            answer = await asyncio.wait_for(waiting, 5)
        assert (answer.status_code, answer.json()["verdict"]) == (200, None)
        assert await asyncio.to_thread(web.running.wait, 30) == 0
        assert time.monotonic() - begun < 8
        assert "timeout graceful shutdown exceeded" not in web.log


async def test_every_process_of_several_ends_its_streams(postgres_url: str, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        one = stack.enter_context(deployment(postgres_url, tmp_path, WEB_CONCURRENCY="2"))
        web = one.process("web")
        web.start()
        await one.ready()
        key = await one.key("test")
        bearer = {"Authorization": f"Bearer {key}"}
        streams = []
        for _ in range(6):
            client = await stack.enter_async_context(customer(one.url, key))
            streams.append(await stack.enter_async_context(listening(client, "/v1/events/stream", bearer)))
        await until(lambda: all(stream.blocks for stream in streams))
        begun = time.monotonic()
        web.running.terminate()
        await asyncio.wait_for(asyncio.gather(*(stream.ended.wait() for stream in streams)), 5)
        assert await asyncio.to_thread(web.running.wait, 30) == 0
        assert time.monotonic() - begun < 8
