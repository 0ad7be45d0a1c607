import base64
from typing import Any

import httpx
import pytest

from tests.sandbox.serving import Inbox
from tests.sandbox.test_asc import another

Body = dict[str, Any]
DATA = base64.b64encode(b"some bytes").decode()
MEMBERS = {"prediction", "ai_score", "confidence_level", "reasons", "engine", "analysis_time_ms"}


def sent(client: httpx.Client, body: Body, name: str = "") -> httpx.Response:
    return client.post("/asc/v1", params={"action": "analyze", "sandbox_name": name}, json=body)


def linked(client: httpx.Client, inbox_url: str, name: str) -> httpx.Response:
    return sent(client, {"audio_url": f"{inbox_url}/audio/{name}"})


@pytest.mark.parametrize(("word", "prediction"), [("ai", "ai"), ("human", "human"), ("disagree.ai", "human")])
def test_answer_is_the_documented_one_by_link_and_by_data(
    client: httpx.Client, inbox: Inbox, inbox_url: str, word: str, prediction: str
) -> None:
    name = f"song.{word}.mp3"
    for answer in (linked(client, inbox_url, name), sent(client, {"audio_data": DATA, "format": "mp3"}, name)):
        body = answer.json()
        assert (answer.status_code, body["prediction"]) == (200, prediction)
        assert body.keys() == MEMBERS | {"analysis_id"}
        assert isinstance(body["ai_score"], int)
        assert body["analysis_time_ms"] == 100
    assert inbox.fetched == [name]


def test_id_and_features_are_there_as_asked() -> None:
    with another(asc_analysis_ids=False) as plain:
        assert sent(plain, {"audio_data": DATA}).json().keys() == MEMBERS
        assert sent(plain, {"audio_data": DATA, "include_features": True}).json().keys() == MEMBERS | {"features"}


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({}, "invalid_request"),
        ({"url": "http://127.0.0.1:1/a.mp3"}, "invalid_request"),
        ({"audio_url": "http://127.0.0.1:1/a.mp3", "audio_data": DATA}, "invalid_request"),
        ({"audio_url": "nowhere"}, "invalid_request"),
        ({"audio_url": 7}, "invalid_request"),
        ({"audio_data": "not base64!"}, "invalid_request"),
        ({"audio_data": ""}, "invalid_request"),
        ({"audio_data": 7}, "invalid_request"),
        ({"audio_data": DATA, "format": "aac"}, "invalid_audio_format"),
        ({"audio_url": "http://127.0.0.1:1/a.mp3"}, "download_failed"),
    ],
)
def test_bad_questions_are_refused_in_the_envelope(client: httpx.Client, body: Body, error: str) -> None:
    answer = sent(client, body)
    said = answer.json()
    assert (answer.status_code, said["status"], said["error"]) == (400, 400, error)


@pytest.mark.parametrize(("word", "status"), [("invalid", 400), ("no-audio", 400), ("fail", 500)])
def test_what_has_no_verdict_is_refused(client: httpx.Client, word: str, status: int) -> None:
    answer = sent(client, {"audio_data": DATA}, f"song.{word}.ai.mp3")
    assert (answer.status_code, "prediction" in answer.json()) == (status, False)


def test_data_over_the_cap_is_refused_counted_as_decoded() -> None:
    with another(asc_max_bytes=len(b"some bytes")) as small:
        assert sent(small, {"audio_data": DATA}).status_code == 200
        over = base64.b64encode(b"some bytes!").decode()
        assert sent(small, {"audio_data": over}).status_code == 413


def test_the_words_of_hindrance_act(client: httpx.Client) -> None:
    name = "analyze.rate-limited.outage.garbage.mp3"
    assert [sent(client, {"audio_data": DATA}, name).status_code for _ in range(3)] == [429, 429, 503]
    with pytest.raises(httpx.ReadError, match="reset"):
        sent(client, {"audio_data": DATA}, name)
    assert sent(client, {"audio_data": DATA}, name).content.startswith(b"<!doctype html>")
