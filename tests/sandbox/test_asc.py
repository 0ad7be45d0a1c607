import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest

from tests.sandbox.serving import SETTINGS, Hands, Inbox, client_of, sandbox_at, until

Body = dict[str, Any]


def submitted(client: httpx.Client, url: str, callback_url: str | None = None, root: str = "v1") -> str:
    body = {"url": url} | ({"callback_url": callback_url} if callback_url else {})
    answer = client.post(f"/asc/{root}?action=analyze-url", json=body)
    assert answer.status_code == 202
    said = answer.json()
    assert said == {"job_id": said["job_id"], "status": "queued", "estimated_time_sec": 1}
    return str(said["job_id"])


def polled(client: httpx.Client, job_id: str, root: str = "api-v1") -> Body:
    answer = client.get(f"/asc/{root}", params={"action": "job", "id": job_id})
    assert answer.status_code == 200
    body: Body = answer.json()
    return body


def answer_of(client: httpx.Client, job_id: str) -> Body:
    until(lambda: polled(client, job_id)["status"] in {"completed", "failed"})
    return polled(client, job_id)


def test_job_is_fetched_at_once_and_passes_queued_and_processing_by_the_clock(inbox: Inbox, inbox_url: str) -> None:
    clock = Hands()
    with sandbox_at(replace(SETTINGS, latency_seconds=60), clock) as base, client_of(base) as client:
        answer = client.post("/asc/v1?action=analyze-url", json={"url": f"{inbox_url}/audio/song.ai.mp3"})
        assert inbox.fetched == ["song.ai.mp3"]
        said = answer.json()
        assert (said["status"], said["estimated_time_sec"]) == ("queued", 60)
        assert polled(client, said["job_id"]) == said
        clock.move(30)
        assert polled(client, said["job_id"])["status"] == "processing"
        clock.move(29.9)
        assert polled(client, said["job_id"])["status"] == "processing"
        clock.move(0.1)
        assert polled(client, said["job_id"])["status"] == "completed"


@pytest.mark.parametrize(
    ("word", "prediction", "scores"),
    [
        ("ai", "ai", range(86, 99)),
        ("human", "human", range(2, 15)),
        ("cover", "ai", range(72, 85)),
        ("none", "human", range(2, 15)),
    ],
)
def test_answer_follows_the_word(
    client: httpx.Client, inbox_url: str, word: str, prediction: str, scores: range
) -> None:
    body = answer_of(client, submitted(client, f"{inbox_url}/audio/song.{word}.mp3"))
    assert body["prediction"] == prediction
    assert isinstance(body["ai_score"], int)
    assert body["ai_score"] in scores
    assert body["confidence_level"] in {"high", "very_high"}
    assert body.keys() >= {"job_id", "reasons", "engine", "analysis_time_ms"}


@pytest.mark.parametrize("root", ["v1", "api-v1"])
def test_callback_is_the_documented_payload_and_agrees_with_the_poll(
    client: httpx.Client, inbox: Inbox, inbox_url: str, root: str
) -> None:
    job_id = submitted(client, f"{inbox_url}/audio/song.ai.mp3", f"{inbox_url}/callback", root)
    until(lambda: len(inbox.taken) == 1)
    body = polled(client, job_id, root)
    said = inbox.taken[0].json
    assert said == {
        "event": "analysis.complete",
        "job_id": job_id,
        "prediction": body["prediction"],
        "ai_score": body["ai_score"],
        "confidence_level": body["confidence_level"],
        "timestamp": said["timestamp"],
    }
    assert not [name for name in inbox.taken[0].headers if "signature" in name]


@pytest.mark.parametrize(
    ("path", "error"),
    [("/audio/song.fail.mp3", "analysis_failed"), ("/audio/missing.ai.mp3", "download_failed")],
)
def test_failed_job_has_an_error_and_no_prediction(
    client: httpx.Client, inbox: Inbox, inbox_url: str, path: str, error: str
) -> None:
    failed = submitted(client, inbox_url + path, f"{inbox_url}/callback")
    body = answer_of(client, failed)
    assert (body["status"], body["error"]) == ("failed", error)
    assert "prediction" not in body
    heard = submitted(client, f"{inbox_url}/audio/song.mp3", f"{inbox_url}/callback")
    until(lambda: len(inbox.taken) == 1)
    assert inbox.taken[0].json["job_id"] == heard


def test_url_that_nobody_serves_ends_as_failed(client: httpx.Client) -> None:
    job_id = submitted(client, "http://127.0.0.1:1/song.ai.mp3")
    assert answer_of(client, job_id)["error"] == "download_failed"


@contextmanager
def another(**changes: Any) -> Iterator[httpx.Client]:
    with sandbox_at(replace(SETTINGS, **changes)) as base, client_of(base) as one:
        yield one


def test_download_stops_at_the_cap(inbox: Inbox, inbox_url: str) -> None:
    inbox.audio = b"x" * 200_000
    with another(asc_max_bytes=100_000) as small:
        job_id = submitted(small, f"{inbox_url}/audio/song.ai.mp3")
        assert answer_of(small, job_id)["error"] == "file_too_large"


def test_failure_callback_is_sent_where_the_knob_says_so(inbox: Inbox, inbox_url: str) -> None:
    with another(asc_failure_callback=True) as telling:
        job_id = submitted(telling, f"{inbox_url}/audio/song.fail.mp3", f"{inbox_url}/callback")
        until(lambda: len(inbox.taken) == 1)
    said = inbox.taken[0].json
    assert (said["event"], said["job_id"], said["error"]) == ("analysis.failed", job_id, "analysis_failed")


def test_lost_and_duplicate_callbacks(client: httpx.Client, inbox: Inbox, inbox_url: str) -> None:
    lost = submitted(client, f"{inbox_url}/audio/song.lost-callback.mp3", f"{inbox_url}/callback")
    twice = submitted(client, f"{inbox_url}/audio/song.duplicate-callback.mp3", f"{inbox_url}/callback")
    until(lambda: len(inbox.taken) == 2)
    assert {one.json["job_id"] for one in inbox.taken} == {twice}
    assert inbox.taken[0].body == inbox.taken[1].body
    assert answer_of(client, lost)["status"] == "completed"


def test_callback_is_tried_once(client: httpx.Client, inbox: Inbox, inbox_url: str) -> None:
    inbox.statuses = {"analysis.complete": [500]}
    submitted(client, f"{inbox_url}/audio/one.mp3", f"{inbox_url}/callback")
    until(lambda: len(inbox.taken) == 1)
    submitted(client, f"{inbox_url}/audio/two.mp3", f"{inbox_url}/callback")
    until(lambda: len(inbox.taken) == 2)
    assert len({one.json["job_id"] for one in inbox.taken}) == 2


def test_any_sandbox_with_the_same_secret_answers_for_another(client: httpx.Client, inbox_url: str) -> None:
    with another() as other:
        job_id = submitted(client, f"{inbox_url}/audio/song.ai.mp3")
        assert answer_of(other, job_id) == answer_of(client, job_id)


def test_wrong_key_gets_the_documented_envelope(sandbox_url: str) -> None:
    for headers in ({}, {"X-API-Key": "asc_wrong"}):
        answer = httpx.get(f"{sandbox_url}/asc/v1?action=status", headers=headers)
        assert answer.status_code == 401
        assert answer.json() == {
            "error": "unauthorized",
            "message": "Invalid or expired API key",
            "status": 401,
        }


def test_every_answer_carries_the_daily_limit(client: httpx.Client) -> None:
    answer = client.get("/asc/v1?action=status")
    assert answer.json()["status"] == "operational"
    assert answer.headers["X-RateLimit-Limit"] == "10000"
    assert 0 <= int(answer.headers["X-RateLimit-Remaining"]) <= 10_000
    reset = int(answer.headers["X-RateLimit-Reset"])
    assert reset % 86_400 == 0
    assert 0 < reset - time.time() <= 86_400


def test_unknown_actions_and_jobs_are_refused_in_the_envelope(client: httpx.Client) -> None:
    answers = [
        client.get("/asc/v1"),
        client.get("/asc/v1?action=analyze-url"),
        client.post("/asc/v1?action=job"),
        client.get("/asc/v1?action=job&id=job_abc123def456"),
        client.get("/asc/v1?action=job"),
    ]
    assert [one.status_code for one in answers] == [400, 400, 400, 404, 404]
    for one in answers:
        assert one.json().keys() == {"error", "message", "status"}
        assert one.json()["status"] == one.status_code


def test_a_task_of_the_other_twin_is_no_job(client: httpx.Client) -> None:
    answer = client.post("/aippim/api/v1/music", files={"file": ("a.mp3", b"x")})
    job_id = f"job_{answer.json()['musicId']}"
    assert client.get(f"/asc/v1?action=job&id={job_id}").status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"url": 7}',
        b'{"url": "ftp://example.com/a.mp3"}',
        b'{"url": "http://["}',
        b'{"url": "http://127.0.0.1:1/a.mp3", "callback_url": "nowhere"}',
        b'{"url": "http://127.0.0.1:1/' + b"a" * 3000 + b'"}',
    ],
)
def test_bad_submissions_are_refused(client: httpx.Client, body: bytes) -> None:
    answer = client.post("/asc/v1?action=analyze-url", content=body)
    assert (answer.status_code, answer.json()["status"]) == (400, 400)


def test_an_address_no_client_can_dial_is_a_failed_download(client: httpx.Client) -> None:
    answer = client.post("/asc/v1?action=analyze-url", content=b'{"url": "http://\\ud800.example/a.mp3"}')
    assert answer_of(client, answer.json()["job_id"])["error"] == "download_failed"
