from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest

from tests.sandbox.serving import SETTINGS, client_of, sandbox_at
from tests.sandbox.sounds import wav

Body = dict[str, Any]
BATCH = "/modulate/api/velma-2-ai-music-detection-batch"
CLIP = wav(89.28)
CONTENT = ("vocal_percentage", "instrumental_percentage", "silence_percentage")
MEMBERS = {
    *("filename", "duration_s", "primary_verdict", "latency_ms", "windows", *CONTENT),
    *("vocal_ai_percentage", "vocal_ai_confidence", "instrumental_ai_percentage", "instrumental_ai_confidence"),
}


@contextmanager
def another(**changes: Any) -> Iterator[httpx.Client]:
    with sandbox_at(replace(SETTINGS, **changes)) as base, client_of(base) as client:
        yield client


@pytest.fixture(params=[False, True], ids=["old", "new"])
def windows(request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    """A client of either age of the window schema."""
    with another(modulate_new_windows=request.param) as client:
        yield client


def sent(client: httpx.Client, name: str, content: bytes = CLIP) -> httpx.Response:
    return client.post(BATCH, files={"upload_file": (name, content)})


def said(client: httpx.Client, name: str, content: bytes = CLIP) -> Body:
    answer = sent(client, name, content)
    assert answer.status_code == 200, answer.text
    body: Body = answer.json()
    return body


def test_result_has_all_members_and_a_short_last_window(windows: httpx.Client) -> None:
    body = said(windows, "song.ai.wav")
    assert body.keys() == MEMBERS
    assert (body["filename"], body["duration_s"]) == ("song.ai.wav", 89.28)
    spans = [(one["start_time_ms"], one["end_time_ms"]) for one in body["windows"]]
    assert spans == [*((start, start + 4_000) for start in range(0, 88_000, 4_000)), (88_000, 89_280)]


def test_content_is_the_plain_mean_of_the_windows_also_of_the_short_one(windows: httpx.Client) -> None:
    body = said(windows, "song.ai.wav")
    for name in CONTENT:
        values = [one[name] for one in body["windows"]]
        assert body[name] == pytest.approx(sum(values) / len(values), abs=0.006)


@pytest.mark.parametrize(
    ("words", "verdict"),
    [
        ("ai", "ai-vocal-music"),
        ("cover", "ai-vocal-music"),
        ("instrumental", "ai-instrumental"),
        ("human", "not-ai-music"),
        ("instrumental.human", "not-ai-music"),
        ("disagree.ai", "not-ai-music"),
        ("silent.ai", "not-ai-music"),
        ("unknown-status.ai", "hibernating"),
    ],
)
def test_verdict_follows_the_words(windows: httpx.Client, words: str, verdict: str) -> None:
    assert said(windows, f"song.{words}.wav")["primary_verdict"] == verdict
    assert said(windows, f"song.{words}.wav", wav(1))["primary_verdict"] == verdict


def test_instrumental_has_no_vocals_and_silent_has_next_to_nothing(windows: httpx.Client) -> None:
    assert said(windows, "song.instrumental.wav")["vocal_percentage"] == 0
    silent = said(windows, "song.silent.wav")
    assert silent["silence_percentage"] > 80
    assert silent["vocal_percentage"] == silent["instrumental_percentage"] == 0


def test_old_windows_go_to_one_detector_and_sum_up_as_specified() -> None:
    with another(modulate_new_windows=False) as client:
        body = said(client, "song.ai.wav")
    sung = [one for one in body["windows"] if one["vocal_percentage"]]
    rest = [one for one in body["windows"] if not one["vocal_percentage"]]
    assert sung
    assert rest
    assert all(one["instrumental_ai_percentage"] == one["instrumental_ai_confidence"] == 0 for one in sung)
    assert all(one["vocal_ai_percentage"] == one["vocal_ai_confidence"] == 0 for one in rest)
    flagged = [one["end_time_ms"] - one["start_time_ms"] for one in sung if one["vocal_ai_percentage"] == 100]
    assert body["vocal_ai_percentage"] == pytest.approx(100 * sum(flagged) / 89_280, abs=0.006)
    assert body["instrumental_ai_percentage"] == 100
    assert body["instrumental_ai_confidence"] == max(one["instrumental_ai_confidence"] for one in rest)


def test_new_windows_hold_null_where_nothing_was_heard_and_null_counts_as_none() -> None:
    with another() as client:
        body = said(client, "song.ai.wav")
    assert not [one for one in body["windows"] if "vocal_ai_percentage" in one]
    heard = [one for one in body["windows"] if one["vocal_ai_probability"] is not None]
    assert 0 < len(heard) < len(body["windows"])
    total = sum((one["end_time_ms"] - one["start_time_ms"]) * one["vocal_ai_probability"] for one in heard)
    assert body["vocal_ai_percentage"] == pytest.approx(100 * total / 89_280, abs=0.006)
    mean = sum(one["vocal_ai_confidence"] for one in heard) / len(heard)
    assert body["vocal_ai_confidence"] == pytest.approx(mean, abs=1e-4)


def test_same_file_has_the_same_result_at_any_sandbox(client: httpx.Client) -> None:
    with another() as other:
        assert said(client, "song.ai.wav") == said(other, "song.ai.wav")


def test_length_of_what_is_no_wav_is_guessed(client: httpx.Client) -> None:
    assert said(client, "song.ai.mp3", b"x" * 160_000)["duration_s"] == 10


@pytest.mark.parametrize(("by_guides", "statuses"), [(True, [401, 401]), (False, [422, 403])])
def test_bad_keys_are_refused_as_the_pages_have_it(by_guides: bool, statuses: list[int]) -> None:
    with sandbox_at(replace(SETTINGS, modulate_guides_errors=by_guides)) as base:
        answers = [httpx.post(base + BATCH, headers=headers) for headers in ({}, {"X-API-Key": "wrong"})]
    assert [one.status_code for one in answers] == statuses
    assert {type(one.json()["detail"]) for one in answers} == {str}


def test_a_missing_file_is_named_in_a_list(client: httpx.Client) -> None:
    answer = client.post(BATCH, files={"file": ("a.wav", b"x")})
    fault = {"loc": ["body", "upload_file"], "msg": "Field required", "type": "missing"}
    assert (answer.status_code, answer.json()) == (422, {"detail": [fault]})


@pytest.mark.parametrize(
    ("name", "content", "status"),
    [
        ("a.wav", b"", 400),
        ("a.webm", b"x", 400),
        ("a", b"x", 400),
        ("a.invalid.wav", b"x", 400),
        ("a.no-audio.wav", b"x", 400),
        ("a.fail.wav", b"x", 500),
        ("a.wav", b"x" * 1001, 413),
    ],
)
def test_what_cannot_be_judged_is_refused_in_the_envelope(name: str, content: bytes, status: int) -> None:
    with another(modulate_max_bytes=1000) as client:
        answer = sent(client, name, content)
    assert answer.status_code == status
    assert isinstance(answer.json()["detail"], str)


def test_the_code_for_credits_and_for_concurrency_is_the_same_and_the_text_is_not() -> None:
    with another(modulate_out_of_credits=True) as client:
        poor = sent(client, "song.wav")
    with another(modulate_concurrent=1, latency_seconds=1) as client, ThreadPoolExecutor(2) as pool:
        answers = sorted(pool.map(lambda name: sent(client, name), ("a.wav", "b.wav")), key=lambda a: a.status_code)
    fine, busy = answers
    assert [one.status_code for one in (poor, fine, busy)] == [429, 200, 429]
    assert poor.json() == {"detail": "Insufficient credits."}
    assert busy.json() == {"detail": "Too many concurrent requests."}


def test_rate_limited_then_outage_then_garbage(client: httpx.Client) -> None:
    name = "batch.rate-limited.outage.garbage.wav"
    assert [sent(client, name).status_code for _ in range(3)] == [429, 429, 503]
    with pytest.raises(httpx.ReadError, match="reset"):
        sent(client, name)
    answer = sent(client, name)
    assert answer.status_code == 200
    assert answer.content.startswith(b"<!doctype html>")
