"""Modulate's stream over real WebSockets: what is sent, what comes back, and what is told meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from service.detectors.enums import ReasonCode, RunStatus, Verdict
from service.detectors.exchange import Failure, OutcomeUnknown
from service.detectors.port import Raw, Refused
from service.detectors.reading import Reading
from tests.vendors.contract import KEY
from tests.vendors.modulate_stream import DONE, MESSAGES, WINDOW, Stream, ask, stream_server, streaming
from tests.waiting import until

AUDIO = [b"a" * 70_000, b"b" * 10, b"c" * 1_000_000]


async def documented(stream: Stream) -> None:
    await stream.to_the_end()
    await stream.say(*MESSAGES)


async def test_audio_is_sent_as_documented_and_the_answer_comes_whole() -> None:
    async with stream_server(documented) as server:
        vendor = streaming(server.url + "/")
        found = await vendor.submit(ask(*AUDIO))
    [stream] = server.streams
    assert bytes(stream.audio) == b"".join(AUDIO)
    assert dict(stream.socket.query_params) == {"api_key": KEY, "audio_format": "mp3"}
    assert (found.status, found.content_type) == (1000, "application/x-ndjson")
    assert len(found.body.split(b"\n")) == len(MESSAGES)
    reading = vendor.parse_submit(found)
    assert isinstance(reading, Reading)
    assert (reading.status, reading.verdict, len(reading.segments)) == (RunStatus.SUCCEEDED, Verdict.AI_GENERATED, 2)


async def test_only_a_twin_is_told_a_name() -> None:
    async with stream_server(documented) as server:
        await streaming(server.url).submit(ask(b"x", sandbox_name="run_1.ai.mp3"))
        await streaming(server.url).submit(replace(ask(b"x"), name="run_1.wav", media_type="audio/wav"))
    first, second = (dict(stream.socket.query_params) for stream in server.streams)
    assert first == {"api_key": KEY, "audio_format": "mp3", "sandbox_name": "run_1.ai.mp3"}
    assert second == {"api_key": KEY, "audio_format": "wav"}


def test_the_stream_is_encrypted_where_the_base_is() -> None:
    for base, address in (
        ("https://platform.modulate.ai", "wss://platform.modulate.ai"),
        ("http://127.0.0.1:1/sandbox/modulate/", "ws://127.0.0.1:1/sandbox/modulate"),
    ):
        found = str(streaming(base)._stream_address(ask(b"")))
        assert found == f"{address}/api/velma-2-ai-music-detection-streaming?api_key={KEY}&audio_format=mp3"


async def test_windows_are_told_while_audio_is_still_being_sent() -> None:
    """The reader of the audio waits for the told window; the vendor has had the first frame only."""
    told: list[tuple[Raw, Reading]] = []
    window_heard = asyncio.Event()

    async def one_window_at_once(stream: Stream) -> None:
        await stream.frame()
        await stream.say(WINDOW)
        await stream.to_the_end()
        await stream.say(DONE)

    async def media() -> AsyncIterator[bytes]:
        yield b"first"
        await window_heard.wait()
        yield b"second"

    async def on_partial(raw: Raw, reading: Reading) -> None:
        told.append((raw, reading))
        window_heard.set()

    async with stream_server(one_window_at_once) as server:
        found = await streaming(server.url).submit(ask(media=media, on_partial=on_partial))
    assert bytes(server.streams[0].audio) == b"firstsecond"
    [(part, reading)] = told
    assert (part.content_type, part.status) == ("application/x-ndjson", 101)
    assert found.body.startswith(part.body)
    assert (reading.status, reading.verdict) == (RunStatus.RUNNING, None)
    assert [(each.index, each.end_ms) for each in reading.segments] == [(0, 4000)]
    assert streaming(server.url).read(part, "modulate/streaming") == reading


async def test_what_comes_while_a_part_is_told_is_told_together_and_nothing_twice() -> None:
    told: list[list[int]] = []
    all_came = asyncio.Event()

    async def many(stream: Stream) -> None:
        await stream.frame()
        await stream.say(WINDOW)
        await until(lambda: told)
        await stream.say(*[WINDOW] * 5, {"type": "ping"})
        await stream.to_the_end()
        await stream.say(DONE)

    async def on_partial(_: Raw, reading: Reading) -> None:
        told.append([each.index for each in reading.segments])
        if len(told) == 1:
            await all_came.wait()

    async def media() -> AsyncIterator[bytes]:
        yield b"first"

    async with stream_server(many) as server:
        submitted = asyncio.create_task(streaming(server.url).submit(ask(media=media, on_partial=on_partial)))
        await until(lambda: server.streams and server.streams[0].socket.application_state.name == "DISCONNECTED")
        all_came.set()
        found = await submitted
    assert told == [[0], [1, 2, 3, 4, 5]]
    assert found.status == 1000


async def test_however_much_a_stream_says_it_is_told_in_few_parts() -> None:
    told: list[int] = []
    audio_left = asyncio.Event()

    async def chatter(stream: Stream) -> None:
        await stream.frame()
        for _ in range(200):
            await stream.say(WINDOW)
            await asyncio.sleep(0)
        audio_left.set()
        await stream.to_the_end()
        await stream.say(DONE)

    async def media() -> AsyncIterator[bytes]:
        yield b"first"
        await audio_left.wait()

    async def on_partial(_: Raw, reading: Reading) -> None:
        told.append(len(reading.segments))

    loop = asyncio.get_running_loop()
    began = loop.time()
    async with stream_server(chatter) as server:
        await streaming(server.url).submit(ask(media=media, on_partial=on_partial))
    assert sum(told) == 200
    assert len(told) <= 2 + (loop.time() - began)


async def test_a_listener_that_fails_or_never_returns_does_not_lose_the_stream(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("service.vendors.modulate.stream._GRACE_SECONDS", 0.05)
    calls = 0

    async def fail(_: Raw, __: Reading) -> None:
        nonlocal calls
        calls += 1
        raise OSError("the database is away")

    async def hang(_: Raw, __: Reading) -> None:
        await asyncio.Event().wait()

    async with stream_server(documented) as server:
        for on_partial in (fail, hang):
            vendor = streaming(server.url)
            reading = vendor.parse_submit(await vendor.submit(ask(*AUDIO, on_partial=on_partial)))
            assert isinstance(reading, Reading)
            assert reading.verdict is Verdict.AI_GENERATED
    assert calls


@pytest.mark.parametrize(
    ("code", "text", "reason_code"),
    [
        (1003, "Invalid audio_format='mp4'.", ReasonCode.BAD_REQUEST),
        (1011, "Internal server error", ReasonCode.VENDOR_ERROR),
        (4001, "Who is that?", ReasonCode.AUTH_FAILED),
        (4003, "This request is not permitted.", ReasonCode.ACCESS_DENIED),
        (4029, "Insufficient credits.", ReasonCode.QUOTA_EXCEEDED),
        (4031, "A new thing.", ReasonCode.VENDOR_ERROR),
    ],
)
async def test_trap_13_modulate_the_error_before_the_close_is_read_though_audio_is_still_leaving(
    code: int, text: str, reason_code: ReasonCode
) -> None:
    async def media() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65536
            await asyncio.sleep(0)

    async def refuse(stream: Stream) -> None:
        await stream.frame()
        await stream.say({"type": "error", "error": text})
        await stream.socket.close(code)

    async with stream_server(refuse) as server:
        vendor = streaming(server.url)
        found = await vendor.submit(ask(media=media))
    assert found.status == code
    refused = vendor.parse_submit(found)
    assert isinstance(refused, Refused)
    assert (refused.reason_code, text in refused.reason_text) == (reason_code, True)


@pytest.mark.parametrize("code", [1003, 1011, 4001, 4002, 4029])
async def test_a_close_code_that_says_why_is_an_answer_without_words(code: int) -> None:
    async def refuse(stream: Stream) -> None:
        await stream.to_the_end()
        await stream.socket.close(code)

    async with stream_server(refuse) as server:
        found = await streaming(server.url).submit(ask(b"x"))
    assert (found.status, found.body) == (code, b"")


@pytest.mark.parametrize("code", [1000, 1001, 1012])
async def test_trap_13_modulate_an_end_without_done_is_of_unknown_outcome(code: int) -> None:
    async def leave(stream: Stream) -> None:
        await stream.to_the_end()
        await stream.say(WINDOW)
        await stream.socket.close(code)

    async with stream_server(leave) as server:
        with pytest.raises(OutcomeUnknown) as raised:
            await streaming(server.url).submit(ask(b"x"))
    assert raised.value.failure is Failure.DROPPED


async def test_a_vendor_that_is_done_but_stays_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.vendors.modulate.stream._GOODBYE_SECONDS", 0.05)
    gone = asyncio.Event()

    async def stay(stream: Stream) -> None:
        await stream.to_the_end()
        await stream.say(DONE)
        assert (await stream.socket.receive())["type"] == "websocket.disconnect"
        gone.set()

    async with stream_server(stay) as server:
        vendor = streaming(server.url)
        found = vendor.parse_submit(await vendor.submit(ask(b"x")))
        await asyncio.wait_for(gone.wait(), 10)
    assert isinstance(found, Reading)
    assert found.verdict is Verdict.AI_GENERATED


async def test_a_vendor_that_is_done_early_needs_no_more_audio() -> None:
    async def media() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.Event().wait()

    async def early(stream: Stream) -> None:
        await stream.frame()
        await stream.say(DONE)

    async with stream_server(early) as server:
        found = await streaming(server.url).submit(ask(media=media))
    assert found.status == 1000


async def test_a_message_on_many_lines_is_kept_on_one() -> None:
    async def wordy(stream: Stream) -> None:
        await stream.to_the_end()
        await stream.say('{"type": "window",\r\n "window":\n {}}', DONE)

    async with stream_server(wordy) as server:
        vendor = streaming(server.url)
        found = await vendor.submit(ask(b"x"))
    assert found.body.count(b"\n") == 1
    reading = vendor.parse_submit(found)
    assert isinstance(reading, Reading)
    assert (reading.verdict, len(reading.segments), reading.extras) == (Verdict.AI_GENERATED, 1, {})


async def test_a_stream_that_says_too_much_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.vendors.modulate.stream._MOST_BYTES", 1000)

    async def talk(stream: Stream) -> None:
        await stream.to_the_end()
        await stream.say(*[WINDOW] * 100, DONE)

    async with stream_server(talk) as server:
        with pytest.raises(OutcomeUnknown) as raised:
            await streaming(server.url).submit(ask(b"x"))
    assert raised.value.failure is Failure.OVERSIZED
