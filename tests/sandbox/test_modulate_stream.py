import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import aiohttp
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from service.sandbox.app import create
from tests.sandbox.serving import DEADLINE_SECONDS, SETTINGS, sandbox_at, serving, until
from tests.sandbox.sounds import wav

Body = dict[str, Any]
STREAM = "/modulate/api/velma-2-ai-music-detection-streaming"
CLIP = wav(9)
WAV = {"audio_format": "wav"}


@dataclass
class Heard:
    """What the twin said, and how it closed."""

    messages: list[Body]
    code: int | None

    @property
    def kinds(self) -> list[str]:
        return [one["type"] for one in self.messages]


@asynccontextmanager
async def opened(base: str, **query: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    given = {"api_key": SETTINGS.api_key, **query}
    async with aiohttp.ClientSession() as session, session.ws_connect(base + STREAM, params=given) as socket:
        yield socket


async def rest(socket: aiohttp.ClientWebSocketResponse) -> Heard:
    """All that is said until the close."""
    texts: list[str] = []
    async with asyncio.timeout(DEADLINE_SECONDS):
        async for message in socket:
            assert message.type is aiohttp.WSMsgType.TEXT
            texts.append(message.data)
    return Heard([json.loads(text) for text in texts], socket.close_code)


async def talk(base: str, chunks: Sequence[bytes], **query: str) -> Heard:
    """The whole conversation of a client that sends all and ends properly."""
    async with opened(base, **query) as socket:
        for chunk in chunks:
            await socket.send_bytes(chunk)
        await socket.send_str("")
        return await rest(socket)


def heard(base: str, chunks: Sequence[bytes], **query: str) -> Heard:
    return asyncio.run(talk(base, chunks, **query))


def named(base: str, name: str) -> Heard:
    return heard(base, [CLIP], **WAV, sandbox_name=name)


def test_windows_come_then_done_then_a_normal_close(sandbox_url: str) -> None:
    found = named(sandbox_url, "song.ai.wav")
    assert (found.kinds, found.code) == (["window"] * 3 + ["done"], 1000)
    *windows, done = found.messages
    spans = [(one["window"]["start_time_ms"], one["window"]["end_time_ms"]) for one in windows]
    assert spans == [(0, 4_000), (4_000, 8_000), (8_000, 9_000)]
    assert not [name for one in windows for name in one["window"] if name.startswith("instrumental_ai")]
    assert done.keys() == {
        *("type", "duration_ms", "window_count", "primary_verdict", "vocal_percentage", "vocal_ai_percentage"),
        *("vocal_ai_confidence", "instrumental_percentage", "instrumental_ai_percentage"),
        *("instrumental_ai_confidence", "silence_percentage"),
    }
    assert (done["duration_ms"], done["window_count"], done["primary_verdict"]) == (9_000, 3, "ai-vocal-music")


@pytest.mark.parametrize(("new", "member"), [(True, "vocal_ai_probability"), (False, "vocal_ai_percentage")])
def test_windows_are_of_either_age(new: bool, member: str) -> None:
    with sandbox_at(replace(SETTINGS, modulate_new_windows=new)) as base:
        first = named(base, "song.ai.wav").messages[0]["window"]
    names = {"start_time_ms", "end_time_ms", "vocal_percentage", "vocal_ai_confidence", "instrumental_percentage"}
    assert first.keys() == names | {"silence_percentage", member}


def test_the_short_window_is_left_out_where_the_knob_says_so() -> None:
    with sandbox_at(replace(SETTINGS, modulate_last_window=False)) as base:
        found = named(base, "song.ai.wav")
    assert found.kinds == ["window", "window", "done"]
    assert (found.messages[-1]["window_count"], found.messages[-1]["duration_ms"]) == (2, 9_000)


def test_a_window_is_told_as_soon_as_its_bytes_are_there(sandbox_url: str) -> None:
    async def run() -> tuple[str, bool]:
        async with opened(sandbox_url, **WAV) as socket:
            await socket.send_bytes(CLIP[:31_999])
            early = False
            try:
                await socket.receive(timeout=0.2)
                early = True
            except TimeoutError:
                pass
            await socket.send_bytes(CLIP[31_999:32_000])
            return (await socket.receive(timeout=DEADLINE_SECONDS)).data, early

    text, early = asyncio.run(run())
    assert (json.loads(text)["type"], early) == ("window", False)


def test_frames_may_be_of_any_size(sandbox_url: str) -> None:
    pieces = [CLIP[at : at + 997] for at in range(0, len(CLIP), 997)]
    assert heard(sandbox_url, pieces, **WAV).messages == heard(sandbox_url, [CLIP], **WAV).messages


def test_length_of_raw_audio_is_exact_and_of_others_a_guess(sandbox_url: str) -> None:
    raw = {"audio_format": "s16le", "sample_rate": "16000", "num_channels": "2"}
    assert heard(sandbox_url, [b"\0" * 320_000], **raw).messages[-1]["duration_ms"] == 5_000
    assert heard(sandbox_url, [b"\0" * 160_000], audio_format="mp3").messages[-1]["duration_ms"] == 10_000


@pytest.mark.parametrize(
    ("words", "verdict"),
    [
        ("instrumental", "ai-instrumental"),
        ("human", "not-ai-music"),
        ("disagree", "not-ai-music"),
        ("silent", "not-ai-music"),
        ("unknown-status", "hibernating"),
    ],
)
def test_verdict_follows_the_words_of_the_sandbox_name(sandbox_url: str, words: str, verdict: str) -> None:
    assert named(sandbox_url, f"song.{words}.wav").messages[-1]["primary_verdict"] == verdict


def test_instrumental_ai_is_told_in_done_alone(sandbox_url: str) -> None:
    *windows, done = named(sandbox_url, "song.instrumental.wav").messages
    assert done["instrumental_ai_percentage"] > 80
    assert {one["window"]["vocal_percentage"] for one in windows} == {0}


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({}, "audio_format query parameter is required"),
        ({"sample_rate": "8000"}, "require audio_format to be specified"),
        ({"audio_format": "mp4"}, "Invalid audio_format='mp4'. Valid values: ['aac',"),
        ({"audio_format": "s16le"}, "require sample_rate and num_channels"),
        ({"audio_format": "s16le", "sample_rate": "50000", "num_channels": "1"}, "Invalid sample_rate=50000."),
        ({"audio_format": "u8", "sample_rate": "8000", "num_channels": "12"}, "Invalid num_channels=12."),
    ],
)
def test_a_bad_query_is_told_before_the_close(sandbox_url: str, query: dict[str, str], said: str) -> None:
    found = heard(sandbox_url, (), **query)
    assert (found.kinds, found.code) == (["error"], 1003)
    assert said in found.messages[0]["error"]


@pytest.mark.parametrize(("by_guides", "code"), [(True, 4001), (False, 4003)])
@pytest.mark.parametrize("key", ["", "wrong"])
def test_a_stranger_is_told_and_closed_out(by_guides: bool, code: int, key: str) -> None:
    with sandbox_at(replace(SETTINGS, modulate_guides_errors=by_guides)) as base:
        found = heard(base, (), **WAV, api_key=key)
    assert (found.kinds, found.code) == (["error"], code)


@pytest.mark.parametrize(
    ("query", "chunks"),
    [
        ({"audio_format": "wav"}, [b"OggS and so on"]),
        ({"audio_format": "flac"}, [CLIP]),
        ({"audio_format": "wav"}, []),
        ({"audio_format": "wav", "sandbox_name": "a.invalid.wav"}, [CLIP]),
        ({"audio_format": "wav", "sandbox_name": "a.no-audio.wav"}, [CLIP]),
    ],
)
def test_what_cannot_be_decoded_ends_with_4002(sandbox_url: str, query: dict[str, str], chunks: list[bytes]) -> None:
    found = heard(sandbox_url, chunks, **query)
    assert (found.kinds, found.code) == (["error"], 4002)


def test_a_text_that_is_not_empty_is_no_audio(sandbox_url: str) -> None:
    async def run() -> Heard:
        async with opened(sandbox_url, **WAV) as socket:
            await socket.send_str("end")
            return await rest(socket)

    found = asyncio.run(run())
    assert (found.kinds, found.code) == (["error"], 1003)


def test_credits_and_concurrency_have_one_code_and_two_texts() -> None:
    async def crowd(base: str) -> Heard:
        async with opened(base, **WAV) as first:
            await first.send_bytes(CLIP)
            await first.receive(timeout=DEADLINE_SECONDS)  # it is at work
            return await talk(base, (), **WAV)

    with sandbox_at(replace(SETTINGS, modulate_out_of_credits=True)) as base:
        poor = heard(base, (), **WAV)
    with sandbox_at(replace(SETTINGS, modulate_concurrent=1)) as base:
        busy = asyncio.run(crowd(base))
    assert [poor.code, busy.code] == [4029, 4029]
    assert [one.messages[0]["error"] for one in (poor, busy)] == [
        "Insufficient credits.",
        "Too many concurrent requests.",
    ]


def test_failure_ends_with_1011_and_no_done(sandbox_url: str) -> None:
    found = named(sandbox_url, "song.fail.wav")
    assert (found.kinds, found.code) == (["window"] * 3 + ["error"], 1011)


def test_rate_limited_then_outage_then_done(sandbox_url: str) -> None:
    name = "stream.rate-limited.outage.ai.wav"
    assert [named(sandbox_url, name).code for _ in range(2)] == [4029, 4029]
    with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
        named(sandbox_url, name)
    assert refusal.value.status == 503
    cut = asyncio.run(one_frame(sandbox_url, name))
    assert (cut.messages, cut.code) == ([], 1006)
    assert named(sandbox_url, name).kinds[-1] == "done"


async def one_frame(base: str, name: str) -> Heard:
    async with opened(base, **WAV, sandbox_name=name) as socket:
        await socket.send_bytes(CLIP)
        return await rest(socket)


def test_garbage_is_no_done(sandbox_url: str) -> None:
    with pytest.raises(json.JSONDecodeError):
        named(sandbox_url, "stream.garbage.wav")


def test_done_comes_after_the_latency_and_silence_holds_it_back() -> None:
    async def run(base: str, name: str) -> float:
        async with opened(base, **WAV, sandbox_name=name) as socket:
            await socket.send_bytes(CLIP[:8_000])
            await socket.send_str("")
            begun = asyncio.get_running_loop().time()
            await socket.receive(timeout=1)  # the short window
            await socket.receive(timeout=1)
            return asyncio.get_running_loop().time() - begun

    with sandbox_at(replace(SETTINGS, latency_seconds=0.3, silence_seconds=30)) as base:
        assert asyncio.run(run(base, "song.wav")) >= 0.3
        with pytest.raises(TimeoutError):
            asyncio.run(run(base, "stream.silence.wav"))


def test_stream_works_under_a_mount() -> None:
    sandbox = create(SETTINGS)
    with serving(Starlette(routes=[Mount("/sandbox", app=sandbox.app)]), sandbox.aclose) as base:
        assert named(f"{base}/sandbox", "song.ai.wav").code == 1000


def test_a_client_that_leaves_frees_its_place() -> None:
    async def leave(base: str) -> None:
        async with opened(base, **WAV) as socket:
            await socket.send_bytes(CLIP)
            await socket.receive(timeout=DEADLINE_SECONDS)

    with sandbox_at(replace(SETTINGS, modulate_concurrent=1)) as base:
        asyncio.run(leave(base))
        until(lambda: heard(base, [CLIP], **WAV).code == 1000)
