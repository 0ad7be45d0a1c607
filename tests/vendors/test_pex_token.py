"""What leaves for Pex, and the token it leaves with: real sockets."""

import asyncio
import base64
import logging
import socket
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs

import pytest

from service.detectors.enums import ReasonCode, Verdict
from service.detectors.exchange import Exchange, Failure, NotSent, OutcomeUnknown
from service.detectors.port import Refused
from service.detectors.reading import Reading
from service.vendors.pex import Pex
from service.vendors.pex.token import token_in, without
from tests.vendors.contract import KEY, NOW, raw, sample
from tests.vendors.pex_answers import REPLY, TurnedClock, adapter, ask, pex_server, token
from tests.waiting import until

BASIC = base64.b64encode(f"client:{KEY}".encode()).decode()


async def submitted(vendor: Pex, **known: Any) -> Reading | Refused:
    found = vendor.parse_submit(await vendor.submit(ask(**known)))
    assert isinstance(found, Reading | Refused)
    return found


def assert_answered(found: Reading | Refused) -> None:
    assert isinstance(found, Reading)
    assert found.verdict is Verdict.AI_GENERATED


async def fails_unsent(vendor: Pex, failure: Failure) -> None:
    with pytest.raises(NotSent) as caught:
        await vendor.submit(ask())
    assert caught.value.failure is failure


async def test_an_upload_is_sent_as_documented() -> None:
    async with pex_server() as server:
        assert_answered(await submitted(adapter(server.url + "/")))
    first, second = server.asked
    assert (first.method, first.target, first.body) == ("POST", "/oauth2/token", b"grant_type=client_credentials")
    assert first.headers["authorization"] == f"Basic {BASIC}"
    assert first.headers["content-type"] == "application/x-www-form-urlencoded"
    assert (second.method, second.target) == ("POST", "/v1/ai-detector/detect")
    assert second.headers["authorization"] == f"Bearer {token(1)}"
    assert second.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert b'name="file"; filename="run_1.mp3"\r\nContent-Type: audio/mpeg\r\n\r\nRIFF\r\n' in second.body


async def test_a_link_is_sent_as_documented() -> None:
    link = "https://cdn.example/a b.mp3?x=1&y=2"
    async with pex_server() as server:
        assert_answered(await submitted(adapter(server.url), media_url=link))
    sent = server.asked[1]
    assert (sent.method, sent.target) == ("POST", "/v1/ai-detector/detect-url")
    assert sent.headers["content-type"] == "application/x-www-form-urlencoded"
    assert parse_qs(sent.body.decode(), strict_parsing=True) == {"url": [link]}


async def test_a_knock_spends_nothing_and_shows_whether_we_are_known() -> None:
    async with pex_server() as server:
        server.detect_answers = [("400 Bad Request", {"status": "error", "message": "missing url"})]
        assert (await adapter(server.url).check_credentials()).status == 400
        assert (server.asked[1].target, server.asked[1].body) == ("/v1/ai-detector/detect-url", b"")
        server.token_answers = [("403 Forbidden", {"error": "unauthorized_client"})]
        assert (await adapter(server.url).check_credentials()).status == 401


async def test_trap_05_pex_fifty_submissions_at_once_ask_for_one_token() -> None:
    async with pex_server() as server:
        vendor = adapter(server.url)
        for found in await asyncio.gather(*(submitted(vendor) for _ in range(50))):
            assert_answered(found)
    assert len(server.tokens_asked) == 1
    assert server.bearers == [token(1)] * 50


async def test_trap_05_pex_a_token_is_renewed_at_three_quarters_of_its_life() -> None:
    clock = TurnedClock()
    async with pex_server() as server:
        vendor = adapter(server.url, clock)
        for minutes in (0, 89, 2, 89):
            clock.turn(minutes=minutes)
            assert_answered(await submitted(vendor))
    assert server.bearers == [token(1), token(1), token(2), token(2)]


async def test_trap_05_pex_an_expired_token_is_renewed_once_and_the_audio_sent_again() -> None:
    async with pex_server() as server:
        server.expired = {token(1)}
        assert_answered(await submitted(adapter(server.url)))
    assert server.bearers == [token(1), token(2)]
    assert b"RIFF" in server.asked[-1].body


async def test_trap_05_pex_submissions_refused_together_renew_the_token_once() -> None:
    async with pex_server() as server:
        vendor = adapter(server.url)
        assert_answered(await submitted(vendor))
        server.expired = {token(1)}
        for found in await asyncio.gather(*(submitted(vendor) for _ in range(20))):
            assert_answered(found)
    assert len(server.tokens_asked) == 2


async def test_a_token_that_was_renewed_meanwhile_is_not_renewed_again() -> None:
    async with pex_server() as server:
        vendor = adapter(server.url)
        assert_answered(await submitted(vendor))
        assert await vendor._tokens.token(refused="an_older_one") == token(1)
        assert await vendor._tokens.token(refused=token(1)) == token(2)
    assert len(server.tokens_asked) == 2


async def test_trap_05_pex_a_second_401_is_a_failed_authorisation() -> None:
    async with pex_server() as server:
        server.expired = {token(1), token(2)}
        found = await submitted(adapter(server.url))
    assert isinstance(found, Refused)
    assert (found.reason_code, found.retryable) == (ReasonCode.AUTH_FAILED, False)
    assert server.bearers == [token(1), token(2)]


async def test_a_token_refused_late_is_renewed_but_the_audio_waits_for_the_next_try() -> None:
    async with pex_server() as server:
        vendor = adapter(server.url)
        vendor._early_seconds = -1
        server.expired = {token(1)}
        await fails_unsent(vendor, Failure.TIMEOUT)
        assert_answered(await submitted(vendor))
    assert server.bearers == [token(1), token(2)]


async def test_whoever_gives_up_waiting_does_not_take_the_token_from_the_others() -> None:
    async with pex_server() as server:
        server.may_answer.clear()
        vendor = adapter(server.url)
        first, second = (asyncio.create_task(submitted(vendor)) for _ in range(2))
        await until(lambda: server.tokens_asked)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        server.may_answer.set()
        assert_answered(await second)
    assert len(server.tokens_asked) == 1


@pytest.mark.parametrize("status", ["400 Bad Request", "401 Unauthorized", "403 Forbidden"])
async def test_refused_credentials_are_a_failed_authorisation_and_no_audio_leaves(status: str) -> None:
    async with pex_server() as server:
        server.token_answers = [(status, {"error": "invalid_client", "message": f"{KEY} or {BASIC}"})]
        answer = await adapter(server.url).submit(ask())
    found = adapter().parse_submit(answer)
    assert found == Refused(ReasonCode.AUTH_FAILED, "invalid_client: [key] or [key]", retryable=False)
    assert KEY.encode() not in answer.body
    assert BASIC.encode() not in answer.body
    assert server.bearers == []


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("429 Too Many Requests", ReasonCode.RATE_LIMITED),
        ("500 Internal Server Error", ReasonCode.VENDOR_ERROR),
        ("503 Service Unavailable", ReasonCode.VENDOR_ERROR),
    ],
)
async def test_a_busy_token_endpoint_is_asked_again_after_the_pause(status: str, code: ReasonCode) -> None:
    async with pex_server() as server:
        server.token_answers = [(status, {})]
        vendor = adapter(server.url)
        found = await submitted(vendor)
        assert isinstance(found, Refused)
        assert (found.reason_code, found.retryable, found.retry_after_seconds) == (code, True, 30)
        assert_answered(await submitted(vendor))


async def test_without_an_answer_to_the_token_request_nothing_was_sent() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        await fails_unsent(adapter(f"http://127.0.0.1:{unused.getsockname()[1]}"), Failure.REFUSED)


async def test_a_token_that_takes_too_long_is_not_waited_for() -> None:
    async with pex_server() as server:
        server.may_answer.clear()
        await fails_unsent(adapter(server.url, talk=Exchange(timeout_seconds=0.8)), Failure.TIMEOUT)


@pytest.mark.parametrize(
    "body", [{}, [], {"access_token": ""}, {"access_token": 5}, {"access_token": "a\r\nb"}, {"accessToken": "abcdefgh"}]
)
async def test_an_answer_without_a_usable_token_is_no_answer_and_is_not_kept(body: object) -> None:
    async with pex_server() as server:
        server.token_answers = [("200 OK", body)]
        await fails_unsent(adapter(server.url), Failure.UNREADABLE)
    assert server.bearers == []


@pytest.mark.parametrize("refusal", ["503 Service Unavailable", "401 Unauthorized"])
async def test_a_token_is_used_to_its_end_while_the_next_one_is_not_given(refusal: str) -> None:
    clock = TurnedClock()
    async with pex_server() as server:
        vendor = adapter(server.url, clock)
        assert_answered(await submitted(vendor))
        clock.turn(minutes=91)
        server.token_answers = [(refusal, {})]
        for _ in range(2):
            assert_answered(await submitted(vendor))
        assert len(server.tokens_asked) == 2
        clock.turn(minutes=1)
        assert_answered(await submitted(vendor))
        clock.turn(minutes=121)
        server.token_answers = [(refusal, {})]
        assert isinstance(await submitted(vendor), Refused)
    assert server.bearers == [token(1)] * 3 + [token(3)]


async def test_a_submission_that_was_cut_off_is_of_unknown_outcome() -> None:
    async with pex_server() as server:
        vendor = adapter(server.url, talk=Exchange(timeout_seconds=20, max_body_bytes=200))
        assert_answered(await submitted(vendor))
        server.detect_answers = [("200 OK", {**REPLY, "message": "x" * 300})]
        with pytest.raises(OutcomeUnknown):
            await vendor.submit(ask())


@pytest.mark.parametrize(
    ("more", "life"),
    [
        ({}, 7200),
        ({"expires_in": 60}, 60),
        ({"expires_in": 0}, 7200),
        ({"expires_in": "3600"}, 7200),
        ({"expires_in": True}, 7200),
        ({"expires_in": 1e300}, 7200),
    ],
)
def test_a_tokens_life_is_the_vendors_where_it_says_one(more: dict[str, object], life: int) -> None:
    found = token_in(raw({"access_token": "abcdefgh", **more}), NOW)
    assert found is not None
    assert found.expires_at == NOW + timedelta(seconds=life)
    assert found.renew_at == NOW + timedelta(seconds=life * 0.75)


def test_the_token_of_a_usual_answer_is_taken_and_in_no_repr() -> None:
    body = sample("pex", "token_reply")
    found = token_in(raw(body), NOW)
    assert found is not None
    assert found.text == body["access_token"]
    assert found.text not in repr(found)


def test_a_secret_is_taken_out_however_its_slashes_are_written() -> None:
    said = raw(b'{"a": "x/y+z0123", "b": "x\\/y+z0123", "c": "tiny"}')
    assert without(said, ["x/y+z0123", "tiny", ""]).body == b'{"a": "[key]", "b": "[key]", "c": "tiny"}'


async def test_no_secret_is_logged_kept_or_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    seen: list[str] = []
    for expired in (1, 2, 3):
        async with pex_server() as server:
            server.expired = {token(number) for number in range(1, expired)}
            tokens = " ".join(token(number) for number in range(1, expired + 1))
            server.detect_answers = [("200 OK", {"status": "error", "message": f"{tokens} {BASIC} {KEY}"})]
            vendor = adapter(server.url)
            answer = await vendor.submit(ask())
            shown = (vendor.parse_submit(answer), vendor, vars(vendor)["_tokens"], vars(vars(vendor)["_tokens"]))
            seen += [answer.body.decode(), *map(repr, shown)]
    seen += [caplog.text, *(str(vars(record)) for record in caplog.records)]
    assert sum("[key]" in text for text in seen) == 6
    for secret in (KEY, "never_shown", "token/number"):
        assert [text for text in seen if secret in text] == []
    assert BASIC not in caplog.text
