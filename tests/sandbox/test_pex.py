from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest

from tests.sandbox.serving import SETTINGS, Hands, Inbox, client_of, sandbox_at
from tests.sandbox.sounds import wav

Body = dict[str, Any]
DETECT = "/pex/v1/ai-detector/detect"
DETECT_URL = "/pex/v1/ai-detector/detect-url"


def granted(base: httpx.Client, client_id: str = "sandbox", secret: str = SETTINGS.api_key) -> httpx.Response:
    return base.post("/pex/oauth2/token", data={"grant_type": "client_credentials"}, auth=(client_id, secret))


@contextmanager
def pex_at(base: str) -> Iterator[httpx.Client]:
    """A client that holds a token."""
    with client_of(base) as client:
        client.headers["Authorization"] = f"Bearer {granted(client).json()['access_token']}"
        yield client


@contextmanager
def another(**changes: Any) -> Iterator[httpx.Client]:
    with sandbox_at(replace(SETTINGS, **changes)) as base, pex_at(base) as client:
        yield client


@pytest.fixture
def pex(sandbox_url: str) -> Iterator[httpx.Client]:
    with pex_at(sandbox_url) as client:
        yield client


def sent(client: httpx.Client, name: str, content: bytes = b"some bytes") -> httpx.Response:
    return client.post(DETECT, files={"file": (name, content)})


def said(client: httpx.Client, name: str, content: bytes = b"some bytes") -> Body:
    answer = sent(client, name, content)
    assert answer.status_code == 200
    body: Body = answer.json()
    return body


def test_token_is_granted_to_the_client_by_basic_auth(client: httpx.Client) -> None:
    body = granted(client).json()
    assert body == {"access_token": body["access_token"], "token_type": "Bearer", "expires_in": 7_200}
    assert [granted(client, *pair).status_code for pair in (("sandbox", "wrong"), ("other", SETTINGS.api_key))] == [
        401,
        401,
    ]
    assert client.post("/pex/oauth2/token", auth=("sandbox", SETTINGS.api_key)).status_code == 400
    with another(pex_bare_token=True) as bare:
        assert granted(bare).json().keys() == {"access_token"}


def test_token_dies_after_two_hours() -> None:
    clock = Hands()
    with sandbox_at(SETTINGS, clock) as base, pex_at(base) as client:
        clock.move(7_199)
        assert sent(client, "a.mp3").status_code == 200
        clock.move(1.5)
        assert sent(client, "a.mp3").status_code == 401
        client.headers["Authorization"] = f"Bearer {granted(client).json()['access_token']}"
        assert sent(client, "a.mp3").status_code == 200


@pytest.mark.parametrize("given", ["", "Bearer", "Bearer x", f"Bearer {SETTINGS.api_key}"])
@pytest.mark.parametrize("path", [DETECT, DETECT_URL])
def test_without_a_good_token_nothing_is_detected(sandbox_url: str, path: str, given: str) -> None:
    answer = httpx.post(sandbox_url + path, headers={"Authorization": given}, files={"file": ("a.mp3", b"x")})
    assert answer.status_code == 401
    assert answer.json().keys() == {"status", "message"}


def test_token_of_another_process_is_good(sandbox_url: str, pex: httpx.Client) -> None:
    with sandbox_at(SETTINGS) as other:
        answer = httpx.post(other + DETECT, headers=pex.headers, files={"file": ("a.ai.mp3", b"x")})
    assert answer.json()["is_ai"] is True


@pytest.mark.parametrize(("word", "is_ai"), [("ai", True), ("human", False), ("cover", True), ("disagree", True)])
def test_result_follows_the_word(pex: httpx.Client, word: str, is_ai: bool) -> None:
    body = said(pex, f"song.{word}.mp3")
    assert (body["status"], body["message"], body["is_ai"]) == ("ok", "ok", is_ai)
    assert len(str(body["request_id"])) == 19
    assert 2**53 < body["request_id"] < 2**63
    assert (body["ai_score"] > 0.5) is is_ai
    assert 0 <= body["ai_score"] <= 1
    assert (body["predicted_model"] is not None) is is_ai
    assert ("predicted_model_score" in body) is is_ai


def test_a_nameless_model_is_null_and_has_no_score(pex: httpx.Client) -> None:
    body = said(pex, "song.null-model.ai.mp3")
    assert (body["is_ai"], body["predicted_model"]) == (True, None)
    assert "predicted_model_score" not in body


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("too-short", "too_short"),
        ("too-long", "too_long"),
        ("not-enough-music", "not_enough_music"),
        ("silent", "not_enough_music"),
        ("no-audio", "no_audio"),
        ("invalid", "invalid_file"),
        ("fail", "error"),
        ("unknown-status", "hibernating"),
    ],
)
def test_what_is_no_result_is_a_200_with_its_status_and_no_verdict(pex: httpx.Client, word: str, status: str) -> None:
    body = said(pex, f"song.{word}.ai.mp3")
    assert body == {"request_id": body["request_id"], "status": status, "message": body["message"]}


def test_url_is_fetched_and_its_name_has_the_words(pex: httpx.Client, inbox: Inbox, inbox_url: str) -> None:
    body = pex.post(DETECT_URL, data={"url": f"{inbox_url}/audio/song.ai.mp3?x=1"}).json()
    assert (body["status"], body["is_ai"]) == ("ok", True)
    assert inbox.fetched == ["song.ai.mp3"]


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/song.ai.mp3", "nowhere", "http://[", "{}/audio/missing.mp3"])
def test_url_that_cannot_be_had_is_a_200_not_found(pex: httpx.Client, inbox_url: str, url: str) -> None:
    answer = pex.post(DETECT_URL, data={"url": url.format(inbox_url) if "{" in url else url})
    assert (answer.status_code, answer.json()["status"]) == (200, "not_found")


def test_wrong_fields_are_refused(pex: httpx.Client) -> None:
    answers = [
        pex.post(DETECT, files={"upload_file": ("a.mp3", b"x")}),
        pex.post(DETECT, data={"file": "x"}),
        pex.post(DETECT),
        pex.post(DETECT_URL, data={"audio_url": "http://x.example/a.mp3"}),
        pex.post(DETECT_URL, json={"url": "http://x.example/a.mp3"}),
    ]
    assert [one.status_code for one in answers] == [400] * 5
    assert {tuple(one.json()) for one in answers} == {("status", "message")}


def test_files_over_the_cap_are_refused_however_they_come(inbox: Inbox, inbox_url: str) -> None:
    inbox.audio = b"x" * 200_000
    with another(pex_max_bytes=100_000) as small:
        assert sent(small, "a.mp3", b"x" * 100_001).status_code == 413
        assert small.post(DETECT_URL, data={"url": f"{inbox_url}/audio/a.mp3"}).status_code == 413
        assert sent(small, "a.mp3", b"x" * 99_999).status_code == 200


def test_length_of_a_wav_is_read_from_its_header() -> None:
    with another(pex_min_seconds=10, pex_max_seconds=60) as strict:
        found = [said(strict, "a.ai.wav", wav(length))["status"] for length in (9, 11, 59, 62)]
    assert found == ["too_short", "ok", "ok", "too_long"]


def test_an_empty_file_is_invalid(pex: httpx.Client) -> None:
    assert said(pex, "a.ai.mp3", b"")["status"] == "invalid_file"


def test_rate_limited_then_outage_then_the_answer(pex: httpx.Client) -> None:
    name = "pex.rate-limited.outage.ai.mp3"
    first, second, third = (sent(pex, name) for _ in range(3))
    assert [one.status_code for one in (first, second, third)] == [429, 429, 503]
    assert (first.headers["retry-after"], "retry-after" in second.headers) == ("1", False)
    assert third.json().keys() == {"status", "message"}
    with pytest.raises(httpx.ReadError, match="reset"):
        sent(pex, name)
    assert said(pex, name)["is_ai"] is True


def test_garbage_cannot_be_read(pex: httpx.Client) -> None:
    page, cut, doubled = (sent(pex, "pex.garbage.mp3") for _ in range(3))
    assert page.headers["content-type"].startswith("text/html")
    with pytest.raises(ValueError, match="line 1"):
        cut.json()
    assert doubled.content.count(b'"request_id"') == 2


def test_answer_comes_after_the_latency_and_silence_holds_it_back() -> None:
    with another(latency_seconds=0.2, silence_seconds=30) as pex:
        pex.timeout = httpx.Timeout(1)
        assert sent(pex, "pex.ai.mp3").elapsed.total_seconds() >= 0.2
        with pytest.raises(httpx.ReadTimeout):
            sent(pex, "pex.silence.ai.mp3")
        assert said(pex, "pex.silence.ai.mp3")["is_ai"] is True


def test_a_burst_is_refused_until_load_has_made_room() -> None:
    with another(latency_seconds=1, pex_capacity=1) as pex:
        assert [at_once(pex), at_once(pex)] == [[200, 429], [200, 200]]


def at_once(pex: httpx.Client) -> list[int]:
    """The answers' statuses to two files sent at the same time."""
    with ThreadPoolExecutor(2) as pool:
        return sorted(answer.status_code for answer in pool.map(lambda name: sent(pex, name), ("a.mp3", "b.mp3")))
