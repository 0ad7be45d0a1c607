"""`relay listen`: events as they happen, none lost between connections, forwarded as webhooks are."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from service.cli.client import listen
from service.cli.client.http_client import Address, Client, ClientError
from service.events.outbox import event_body
from service.kit.security.signatures import new_secret
from service.kit.system_clock import system_clock
from tests.cli.standin import KEY, listening, problem, relay
from tests.journeys.outside import inbox, serving
from tests.journeys.processes import free_port
from tests.loopback import peer, read_request
from tests.waiting import until


def event(number: int, kind: str = "detection.completed") -> dict[str, Any]:
    data = {"id": f"det_{number}", "verdict": "ai_generated", "title": "Ü → \u2028 1.0", "share": 1.0}
    return {"id": f"evt_{number}", "type": kind, "timestamp": "2026-11-20T10:00:00.000Z", "data": data}


def sent(one: dict[str, Any]) -> bytes:
    return f"id: {one['id']}\nevent: {one['type']}\ndata: {json.dumps(one, ensure_ascii=False)}\n\n".encode()


class Feed:
    """The account's events. Each connection gets those after the id it names, at most `each`, and is then cut."""

    def __init__(self, *events: dict[str, Any], each: int = 100, stays: bool = True) -> None:
        self.events = list(events)
        self.named: list[str | None] = []
        self.refusals: list[Response] = []
        self.app = Starlette(routes=[Route("/v1/events/stream", self.take)])
        self._each, self._stays = each, stays

    async def take(self, request: Request) -> Response:
        self.named.append(request.headers.get("last-event-id"))
        if self.refusals:
            return self.refusals.pop(0)
        return StreamingResponse(self._after(self.named[-1]), media_type="text/event-stream")

    async def _after(self, named: str | None) -> AsyncIterator[bytes]:
        ids = [each["id"] for each in self.events]
        begin = place = ids.index(named) + 1 if named in ids else 0
        yield b": welcome\n\n"
        while self._stays or place < len(self.events):
            for one in self.events[place : begin + self._each]:
                yield sent(one)
                place += 1
            if begin + self._each <= place < len(self.events):
                return
            yield b": heartbeat\n\n"
            await asyncio.sleep(0.02)  # a stream goes on until it is cut


async def test_events_are_forwarded_as_webhooks_and_none_is_lost_between_connections(tmp_path: Path) -> None:
    feed = Feed(event(1), event(2), event(3), each=1)
    secret = new_secret()
    async with serving(feed.app) as url, inbox() as receiver:
        receiver.secrets.append(secret)
        options = ["--forward", f"{receiver.url}/in", "--secret", secret]
        with listening(url, tmp_path, *options, forked=False) as process:
            await until(lambda: len(receiver.receiver.received) == 3, seconds=30)
            await until(lambda: process.log.count("→ 204 in ") == 3)
    received = receiver.receiver.received
    assert [(one.webhook_id, one.verified) for one in received] == [("evt_1", True), ("evt_2", True), ("evt_3", True)]
    assert feed.named == [None, "evt_1", "evt_2"]
    assert json.loads(received[0].body) == {name: event(1)[name] for name in ("type", "timestamp", "data")}


async def test_a_secret_is_made_up_and_printed_and_signs(tmp_path: Path) -> None:
    feed = Feed()
    async with serving(feed.app) as url, inbox() as receiver:
        with listening(url, tmp_path, "--forward", receiver.url) as process:
            await until(lambda: "Listening" in process.log, seconds=30)
            receiver.secrets.append(process.log.split("signed with ")[1].split()[0])
            feed.events.append(event(1))
            await until(lambda: receiver.receiver.received)
    assert receiver.receiver.received[0].verified


async def test_only_wanted_types_are_printed_and_json_is_a_line_an_event(tmp_path: Path) -> None:
    events = [event(1), event(2, "review.required"), event(3, "detector.completed"), event(4, "detection.failed")]
    async with serving(Feed(*events).app) as url:
        with listening(url, tmp_path, "--types", "detection.*,review.required", "--json") as process:
            await until(lambda: "evt_4" in process.log, seconds=30)
    printed = [json.loads(line) for line in process.log.splitlines() if line.startswith("{")]
    assert printed == [events[0], events[1], events[3]]


async def test_a_line_for_a_person_has_what_happened_and_of_what(tmp_path: Path) -> None:
    part = {"detection_id": "det_2", "run": {"detector": "asc", "verdict": "no_ai_detected"}}
    async with serving(Feed(event(1), event(2, "detector.completed") | {"data": part}).app) as url:
        with listening(url, tmp_path, "--after", "evt_0") as process:
            await until(lambda: "evt_2" in process.log, seconds=30)
    assert "detector.completed  evt_2  det_2  asc  no_ai_detected" in process.log
    assert "detection.completed  evt_1  det_1  ai_generated" in process.log
    assert f"Listening to {url}" in process.log


async def test_an_address_that_refuses_is_told_and_does_not_end_it(tmp_path: Path) -> None:
    async with serving(Feed(event(1), event(2)).app) as url:
        with listening(url, tmp_path, "--forward", f"http://127.0.0.1:{free_port()}/") as process:
            await until(lambda: process.log.count("→ not delivered: ") == 2, seconds=30)


def first(url: str, count: int, after: str | None = None) -> tuple[list[str], list[float]]:
    """The ids of the first events, and the waits between connections, which took no time."""
    pauses: list[float] = []
    with Client(Address(url, KEY)) as client:
        stream = listen.events(client, after, lambda: None, pauses.append)
        ids = [next(stream)["id"] for _ in range(count)]
        stream.close()  # type: ignore[attr-defined]  # it is a generator
    return ids, pauses


async def test_it_begins_after_the_event_that_was_named() -> None:
    feed = Feed(event(1), event(2), event(3))
    async with serving(feed.app) as url:
        assert (await asyncio.to_thread(first, url, 2, "evt_1"))[0] == ["evt_2", "evt_3"]
    assert feed.named == ["evt_1"]


async def test_trouble_after_the_first_connection_is_waited_out_longer_each_time() -> None:
    feed = Feed(event(1), event(2), each=1)

    class Troubled(Feed):
        async def take(self, request: Request) -> Response:
            if len(feed.named) in (1, 2, 3):
                feed.named.append("refused")
                return problem(503, "unavailable", "Soon.")
            return await feed.take(request)

    async with serving(Troubled().app) as url:
        ids, pauses = await asyncio.to_thread(first, url, 2)
    assert ids == ["evt_1", "evt_2"]
    assert pauses == [0.5, 1.0, 2.0, 4.0]


async def test_a_wait_the_stream_asks_for_is_kept() -> None:
    class Slow(Feed):
        async def _after(self, named: str | None) -> AsyncIterator[bytes]:
            yield b"retry: 3000\n\n"
            async for chunk in super()._after(named):
                yield chunk

    async with serving(Slow(event(1), event(2), each=1).app) as url:
        assert (await asyncio.to_thread(first, url, 2))[1] == [3.0]


async def test_a_key_that_is_refused_later_ends_it() -> None:
    class Revoking(Feed):
        async def take(self, request: Request) -> Response:
            answer = await super().take(request)
            self.refusals.append(problem(401, "unauthenticated", "The API key is revoked."))
            return answer

    async with serving(Revoking(event(1), stays=False).app) as url:
        with pytest.raises(ClientError, match="The API key is revoked"):
            await asyncio.to_thread(first, url, 2)


@pytest.mark.parametrize("status", [401, 404, 503])
async def test_what_refuses_at_first_is_not_asked_again(status: int) -> None:
    feed = Feed()
    feed.refusals.append(problem(status, "refused", "No."))
    async with serving(feed.app) as url:
        done = await relay(url, "listen")
    assert done.exit_code == 1
    assert f"{status} refused: No." in done.stderr
    assert len(feed.named) == 1


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ("--types detection.done", "is not an event type"),
        ("--forward localhost:9000", "http://"),
        ("--forward http://127.0.0.1:1/ --secret hush", "whsec_"),
        ("--forward http://127.0.0.1:1/ --secret whsec_aGVsbG8=", "24 to 64 bytes"),
    ],
)
async def test_an_option_that_makes_no_sense_is_told(options: str, hint: str) -> None:
    done = await relay("http://127.0.0.1:1", "listen", *options.split())
    assert done.exit_code == 2
    assert hint in done.output


def test_what_is_forwarded_has_the_very_bytes_a_webhook_has() -> None:
    now = system_clock()
    data = {"title": "Ü → \u2028", "share": 1.0, "count": 10**20, "none": None}
    body = event_body("detection.completed", data, now)
    assert listen.body_of({"id": "evt_1", **json.loads(body)}) == body


def test_a_text_that_is_no_unicode_is_still_forwarded() -> None:
    assert b"?" in listen.body_of(event(1) | {"data": {"title": "\ud800"}})


@pytest.mark.parametrize("body", ["transfer-encoding: chunked\r\n\r\n5\r\nhe", "content-length: 99\r\n\r\n", "\r\nhe"])
async def test_a_receiver_that_leaves_its_body_open_has_answered_all_the_same(body: str) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(f"HTTP/1.1 202 Taken\r\n{body}".encode())

    async with peer(script) as receiver:
        with httpx.Client(timeout=5) as onward:
            forward = listen.Forward(receiver.url, new_secret())
            async with asyncio.timeout(2):
                said = await asyncio.to_thread(listen.pass_on, onward, forward, event(1))
    assert said.startswith("→ 202 in ")
