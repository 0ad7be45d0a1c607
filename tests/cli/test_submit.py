"""`relay submit` against a scripted service: what is asked, what is waited for, and how it ends."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from service.cli.client import submit
from service.cli.client.http_client import Address, Client, UnreachableError
from service.cli.screen.results import ResultScreen
from tests.cli.standin import KEY, StandIn, problem, relay, result, stand_in

URL = "https://cdn.example/song.mp3"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two looks at scripted answers there is nothing to wait for."""
    monkeypatch.setattr(submit, "_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(submit, "_PAUSE_EACH_SECONDS", 0.001)


@pytest.fixture
def song(tmp_path: Path) -> Path:
    path = tmp_path / "song.wav"
    path.write_bytes(b"RIFF made up")
    return path


def taking(service: StandIn, *looks: object) -> None:
    service.answer("POST /v1/detections", result())
    service.answer("GET /v1/detections/det_1", *looks)


def asked(service: StandIn) -> Any:
    return next(seen.body for seen in service.seen if (seen.method, seen.path) == ("POST", "/v1/detections"))


async def test_a_file_is_uploaded_under_its_name_and_an_address_is_passed_on(song: Path) -> None:
    async with stand_in() as service:
        service.answer("POST /v1/media", {"id": "med_1"})
        service.answer("POST /v1/detections", result("det_1"), result("det_2"))
        done = await relay(service.url, "submit", str(song), URL)
    assert done.exit_code == 0, done.output
    assert [line.split()[:2] for line in done.stdout.splitlines()] == [["det_1", "queued"], ["det_2", "queued"]]
    upload, first, second = service.seen
    assert b'filename="song.wav"' in upload.raw
    assert b"RIFF made up" in upload.raw
    assert (first.body, second.body) == ({"source": {"media_id": "med_1"}}, {"source": {"url": URL}})


async def test_what_was_chosen_is_asked_and_what_was_not_is_left_to_the_service() -> None:
    options = "--detectors asc,aippim/pro --rule majority --quorum 2 --external-id mine --force"
    async with stand_in() as service:
        service.answer("POST /v1/detections", result())
        await relay(service.url, "submit", URL, *options.split())
    assert asked(service) == {
        "source": {"url": URL},
        "detectors": ["asc", "aippim/pro"],
        "decision": {"rule": "majority", "quorum": 2},
        "external_id": "mine",
        "force": True,
    }


async def test_waiting_ends_with_the_verdict_and_status_0() -> None:
    async with stand_in() as service:
        taking(service, result(status="running"), result(status="completed"))
        done = await relay(service.url, "submit", URL, "--wait")
    assert done.exit_code == 0, done.output
    assert "1 of 1 detectors report AI-generated music" in done.stdout


async def test_json_is_a_line_a_detection_and_nothing_else() -> None:
    final = result(status="completed", detectors=[])
    async with stand_in() as service:
        taking(service, final)
        done = await relay(service.url, "submit", URL, "--wait", "--json")
    assert [json.loads(line) for line in done.stdout.splitlines()] == [final]


@pytest.mark.parametrize("status", ["failed", "expired", "cancelled"])
async def test_an_end_without_an_answer_is_status_1(status: str) -> None:
    async with stand_in() as service:
        taking(service, result(status=status))
        assert (await relay(service.url, "submit", URL, "--wait")).exit_code == 1


async def test_an_end_that_did_not_come_in_time_is_status_3_and_says_how_to_look_again() -> None:
    async with stand_in() as service:
        taking(service, result(status="running"))
        done = await relay(service.url, "submit", URL, "--wait", "--patience", "0.05")
    assert done.exit_code == 3
    assert "relay detections get det_1" in done.stderr


async def test_one_refusal_does_not_keep_the_others_back_and_is_status_1() -> None:
    refusal = problem(422, "invalid_request", "No.", errors=[{"pointer": "/source/url", "detail": "is refused"}])
    async with stand_in() as service:
        service.answer("POST /v1/detections", refusal, result())
        service.answer("GET /v1/detections/det_1", result(status="completed"))
        done = await relay(service.url, "submit", "http://10.0.0.1/a.mp3", URL, "--wait")
    assert done.exit_code == 1
    assert "http://10.0.0.1/a.mp3: 422 invalid_request: No.\n  /source/url: is refused" in done.stderr
    assert "ai_generated" in done.stdout


async def test_nothing_is_sent_while_a_file_is_missing(song: Path) -> None:
    async with stand_in() as service:
        done = await relay(service.url, "submit", str(song), "no-such.wav")
    assert done.exit_code == 2
    assert "No such file: no-such.wav" in done.stderr
    assert service.seen == []


async def test_trouble_while_waiting_is_borne() -> None:
    trouble = [problem(503, "unavailable", "Soon."), problem(429, "rate_limited", "Slowly.")]
    async with stand_in() as service:
        taking(service, *trouble, result(status="completed"))
        assert (await relay(service.url, "submit", URL, "--wait")).exit_code == 0


async def test_a_refusal_while_waiting_ends_it() -> None:
    async with stand_in() as service:
        taking(service, problem(401, "unauthenticated", "The API key is revoked."))
        done = await relay(service.url, "submit", URL, "--wait")
    assert done.exit_code == 1
    assert "The API key is revoked." in done.stderr


def test_trouble_that_lasts_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submit, "_TROUBLE_SECONDS", 0.0)
    with Client(Address("http://127.0.0.1:1", KEY)) as client, pytest.raises(UnreachableError):
        submit.follow(client, submit.SentSources({"det_1": result()}), lambda _result: None, time.monotonic() + 30)


async def test_many_are_looked_at_less_often_than_one() -> None:
    pauses: list[float] = []
    each = submit._PAUSE_EACH_SECONDS
    async with stand_in() as service:
        for n in range(100):
            service.answer(
                f"GET /v1/detections/det_{n}", result(f"det_{n}", "running"), result(f"det_{n}", "completed")
            )
        many = submit.SentSources({f"det_{n}": result(f"det_{n}") for n in range(100)})

        def look() -> None:
            with Client(Address(service.url, KEY)) as client:
                submit.follow(client, many, lambda _result: None, time.monotonic() + 30, pauses.append)

        await asyncio.to_thread(look)
    assert pauses == [pytest.approx(100 * each)]


def _nameless(status: str, **more: Any) -> dict[str, Any]:
    return result(status=status, track={"filename": None, "audio_sha256": None}, **more)


async def test_of_many_each_has_a_row_with_its_name_as_soon_as_it_ends(song: Path) -> None:
    async with stand_in() as service:
        service.answer("POST /v1/media", {"id": "med_1"})
        service.answer("POST /v1/detections", *(result(f"det_{n}") for n in range(3)))
        for n in range(3):
            looks = [result(f"det_{n}", "running")] * n
            named = result(f"det_{n}", "completed", track={"filename": f"{n}.wav", "audio_sha256": "ab"})
            service.answer(f"GET /v1/detections/det_{n}", *looks, named)
        done = await relay(service.url, "submit", str(song), str(song), URL, "--wait")
    printed = [line.split("  ") for line in done.stdout.splitlines()]
    assert [row[:3] for row in printed] == [[f"{n}.wav", "ai_generated", "completed"] for n in range(3)]
    assert [row[-1] for row in printed] == ["det_0", "det_1", "det_2"]


def test_a_row_is_out_before_the_others_end(capsys: pytest.CaptureFixture[str]) -> None:
    screen = ResultScreen(stderr=True)
    assert submit._print_row(result("det_1", "completed"), screen)
    row = "song.wav  ai_generated  completed  1 of 1 detectors report AI-generated music  det_1\n"
    assert capsys.readouterr().out == row
    assert not submit._print_nothing(result("det_2", "completed"), screen)


async def test_many_that_failed_or_did_not_end_have_rows_too() -> None:
    async with stand_in() as service:
        service.answer("POST /v1/detections", _nameless("queued", id="det_1"), _nameless("queued", id="det_2"))
        failed = _nameless("failed", id="det_1", verdict=None, display=None)
        service.answer("GET /v1/detections/det_1", failed)
        service.answer("GET /v1/detections/det_2", _nameless("running", id="det_2"))
        done = await relay(service.url, "submit", URL, URL, "--wait", "--patience", "0.3")
    assert done.exit_code == 1
    assert [line.split("  ") for line in done.stdout.splitlines()] == [
        ["no audio from cdn.example", "no verdict", "failed", "det_1"],
        ["the audio is being fetched from cdn.example", "no verdict", "running", "det_2"],
    ]


async def test_the_frame_has_the_audios_name_or_says_that_there_is_none() -> None:
    async with stand_in() as service:
        taking(service, result(status="completed"))
        named = await relay(service.url, "submit", URL, "--wait")
    async with stand_in() as service:
        taking(service, _nameless("failed", verdict=None, display=None))
        nameless = await relay(service.url, "submit", URL, "--wait")
    assert "verdict: song.wav" in named.stdout
    assert nameless.stdout.count("no audio from cdn.example") == 2
    assert "being fetched" not in nameless.stdout


@pytest.mark.parametrize(
    ("facts", "title"),
    [([{"kind": "source.failed", "host": "shop.example"}], "no audio from shop.example"), (None, "no audio")],
)
async def test_a_failed_sources_host_is_told_afterwards_too(facts: list[dict[str, Any]] | None, title: str) -> None:
    async with stand_in() as service:
        service.answer("GET /v1/detections/det_1", _nameless("failed", verdict=None, display=None))
        if facts:
            service.answer("GET /v1/detections/det_1/timeline", {"data": facts})
        done = await relay(service.url, "detections", "get", "det_1")
    assert done.exit_code == 0
    assert done.stdout.splitlines()[0].rstrip() == title
    assert "no verdict  (failed)" in done.stdout
    assert "None" not in done.stdout
    assert "being fetched" not in done.stdout
