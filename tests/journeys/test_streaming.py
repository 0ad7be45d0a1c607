"""A stream that is watched: its windows are told while the audio still goes to the vendor, and `done` alone decides."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.api.listening import Reader, listening
from tests.journeys.customer import Customer, customer
from tests.journeys.outside import API_KEY, serving, vendors
from tests.journeys.processes import Deployment, deployment
from tests.waiting import until

SECONDS = 90  # 2.9 MB: several frames, however the store cuts them
WINDOW_MS = 4_000
END = ""


@dataclass
class Doorkeeper:
    """Stands before the vendor and lets the frames of a stream through one by one, as it is told to."""

    app: ASGIApp
    passed: list[bytes | str] = field(default_factory=list)
    permits: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    open: bool = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The application, which hears of a frame only once there is a permit for it."""

        async def one_by_one() -> Message:
            message = await receive()
            if message["type"] == "websocket.receive":
                if not self.open:
                    await self.permits.acquire()
                self.passed.append(message.get("bytes") or message.get("text") or END)
            return message

        await self.app(scope, one_by_one, send)

    def let_one_in(self) -> None:
        """The next frame goes through."""
        self.permits.release()

    def let_all_in(self) -> None:
        """Nothing is held any more."""
        self.open = True
        self.permits.release()

    @property
    def whole_windows(self) -> int:
        """How many windows the vendor can have heard: 16 bit, mono, 16 kHz, and a header that is no sound."""
        size = sum(len(frame) for frame in self.passed if isinstance(frame, bytes))
        return size // (32 * WINDOW_MS)


@pytest.fixture
def one(database_url: str, tmp_path: Path) -> Iterator[Deployment]:
    with deployment(database_url, tmp_path) as made:
        yield made


def windows(facts: Reader) -> list[dict[str, Any]]:
    """Every stretch of audio that was told, in the order it was told in."""
    return [segment for name, fact in facts.said if name == "run.windows" for segment in fact["segments"]]


async def test_windows_are_seen_while_the_audio_is_still_being_sent_and_done_gives_the_verdict(
    one: Deployment, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        outside = await stack.enter_async_context(vendors())
        door = Doorkeeper(outside.watched)
        base = await stack.enter_async_context(serving(door))
        stack.callback(door.let_all_in)
        one.environment |= {"MODULATE_API_KEY": API_KEY, "MODULATE_BASE_URL": f"{base}/modulate"}
        one.start()
        key, _ = await asyncio.gather(one.key("live"), one.ready())
        client = await stack.enter_async_context(customer(one.url, key))
        asker = Customer(client)
        media = await asker.upload(tmp_path, seconds=SECONDS)
        detection_id = await asker.ask(media, detectors=["modulate/streaming"])
        bearer = {"Authorization": f"Bearer {key}"}
        path = f"/v1/detections/{detection_id}"
        facts = await stack.enter_async_context(listening(client, f"{path}/stream", bearer))

        door.let_one_in()
        await until(lambda: windows(facts))
        await until(lambda: len(windows(facts)) == door.whole_windows)
        early = len(windows(facts))
        assert (len(door.passed), early < SECONDS * 1000 // WINDOW_MS) == (1, True)
        door.let_one_in()
        await until(lambda: len(windows(facts)) == door.whole_windows > early)
        assert END not in door.passed  # the vendor does not know yet that there is an end
        assert "run.ended" not in facts.names
        meanwhile = await asker.result(detection_id)
        assert (meanwhile["verdict"], meanwhile["completed_at"]) == (None, None)
        assert meanwhile["detectors"][0]["waiting_for"] == "answer"

        door.let_all_in()
        await asyncio.wait_for(facts.ended.wait(), 30)
        result = await asker.result(detection_id)
        story = (await client.get(f"{path}/timeline")).json()["data"]
    told = windows(facts)
    assert door.passed[-1] == END
    assert [segment["index"] for segment in told] == list(range(-(-SECONDS * 1000 // WINDOW_MS)))
    assert result["detectors"][0]["segments"] == told
    assert (result["status"], result["verdict"]) == ("completed", "no_ai_detected")
    last = max(place for place, name in enumerate(facts.names) if name == "run.windows")
    assert last < facts.names.index("run.ended") < facts.names.index("detection.decided")
    told_facts = [fact for name, fact in facts.said if name == "run.windows"]
    assert [fact for fact in story if fact["kind"] == "run.windows"] == told_facts
    ended = next(fact for name, fact in facts.said if name == "run.ended")
    assert all(fact["at"] < ended["at"] for fact in told_facts)
