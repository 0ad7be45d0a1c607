"""A table of requests from RFC 9110 and RFC 9112, as bytes, each with its answer and a time limit."""

from collections.abc import AsyncIterator

import pytest

from service.cli.http.parsing import HttpLimits
from service.cli.http.problems import REFUSED
from tests.cli.raw_http import HOST, OFFER, ask, telling

pytestmark = pytest.mark.timeout(30)
_CHUNKED = b"Transfer-Encoding: chunked\r\n"
_CHUNKS = b"5\r\nhello\r\n0\r\n\r\n"


@pytest.fixture(scope="module")
async def port() -> AsyncIterator[int]:
    async with telling() as at:
        yield at


def get(target: bytes = b"/tell", more: bytes = b"", *, version: bytes = b"1.1", host: bytes = HOST) -> bytes:
    return b"GET " + target + b" HTTP/" + version + b"\r\n" + host + more + b"\r\n"


def post(more: bytes = b"", body: bytes = b"hello", *, target: bytes = b"/tell") -> bytes:
    """With a length of its own; `framed` has none."""
    return framed(b"Content-Length: %d\r\n" % len(body) + more, body, target=target)


def framed(more: bytes, body: bytes, *, target: bytes = b"/tell") -> bytes:
    return b"POST " + target + b" HTTP/1.1\r\n" + HOST + more + b"\r\n" + body


ANSWERED = {
    "a length": (post(), "hello"),
    "chunks": (framed(_CHUNKED, _CHUNKS), "hello"),
    "chunks, in capitals": (framed(b"TRANSFER-ENCODING: CHUNKED\r\n", _CHUNKS), "hello"),
    "chunks with extensions, RFC 9112 7.1.1": (framed(_CHUNKED, b'5;a=b;c="d"\r\nhello\r\n0\r\n\r\n'), "hello"),
    "a body of a GET, RFC 9110 9.3.1": (get(more=b"Content-Length: 5\r\n") + b"hello", "hello"),
    "h2c offered, RFC 9110 7.8": (post(OFFER), "hello"),
    "h2c offered, chunks": (framed(OFFER + _CHUNKED, _CHUNKS), "hello"),
    "h2c offered, nothing sent": (get(more=OFFER), ""),
    "something else offered": (post(b"Upgrade: TLS/1.0, IRC/6.9\r\nConnection: upgrade\r\n"), "hello"),
    "several offered": (post(b"Upgrade: h2c, websocket\r\nConnection: keep-alive\r\nConnection: Upgrade\r\n"), "hello"),
    "WebSocket offered for a POST": (post(b"Connection: Upgrade\r\nUpgrade: websocket\r\n"), "hello"),
    "WebSocket offered without a key": (get(more=b"Connection: Upgrade\r\nUpgrade: websocket\r\n"), ""),
    "an offer that is none": (post(b"Upgrade: h2c\r\n"), "hello"),
    "an absolute target, RFC 9112 3.2.2": (post(target=b"http://relay.test/tell?a=1"), "hello"),
    "an absolute target, https and another port": (get(b"https://relay.test:8443/tell"), ""),
    "an absolute target in capitals": (get(b"HTTP://RELAY.TEST/tell"), ""),
    "an absolute target without a path": (get(b"http://relay.test"), ""),
    "an absolute target with a query alone": (get(b"http://relay.test?a=1"), ""),
    "an absolute target and an offer": (post(OFFER, target=b"http://relay.test/tell"), "hello"),
    "HTTP/1.0 without Host": (b"GET /tell HTTP/1.0\r\n\r\n", ""),
    "a later 1.x, RFC 9110 2.5": (get(version=b"1.2"), ""),
    "an empty Host, RFC 9112 3.2": (get(host=b"Host:\r\n"), ""),
    "empty lines before, RFC 9112 2.2": (b"\r\n\r\n" + get(), ""),
    "8,000 bytes of target, RFC 9112 3": (get(b"/tell?" + b"a" * 8_000), ""),
    "bytes that are no ASCII in a value": (get(more=b"X-Name: na\xefve\r\n"), ""),
    "an expectation, RFC 9110 10.1.1": (post(b"Expect: 100-continue\r\n"), "hello"),
}


@pytest.mark.parametrize("case", ANSWERED)
async def test_a_request_that_the_rfcs_allow_arrives_whole(port: int, case: str) -> None:
    sent, body = ANSWERED[case]
    heard = await ask(port, sent)
    assert heard.statuses[-1] == 200, heard
    assert heard.json["body"] == body
    assert heard.json["path"] == ("/" if "without a path" in case or "query alone" in case else "/tell")
    assert not {"upgrade", "http2-settings"} & set(heard.json["headers"]) or case == "an offer that is none"


FORBIDDEN = {
    "no Host, RFC 9112 3.2": (get(host=b""), 400),
    "two Hosts": (get(host=HOST * 2), 400),
    "a Host that is none": (get(host=b"Host: a b/c\r\n"), 400),
    "a user in an absolute target, RFC 9110 4.2.4": (get(b"http://user@relay.test/tell"), 400),
    "a target that is no path": (get(b"tell"), 400),
    "a target with a fragment": (get(b"/tell#part"), 400),
    "a target with a blank": (get(b"/tell me"), 400),
    "a target in UTF-8": ("GET /tëll HTTP/1.1\r\nHost: a\r\n\r\n".encode(), 400),
    "a tunnel, RFC 9110 9.3.6": (b"CONNECT relay.test:443 HTTP/1.1\r\n" + HOST + b"\r\n", 501),
    "an unknown method, RFC 9110 9.1": (b"BREW /tell HTTP/1.1\r\n" + HOST + b"\r\n", 501),
    "a method in small letters": (b"get /tell HTTP/1.1\r\n" + HOST + b"\r\n", 501),
    "HTTP/0.9": (b"GET /tell\r\n\r\n", 505),
    "HTTP/2 as text": (get(version=b"2.0"), 505),
    "HTTP/2 with prior knowledge": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "a blank before the colon, RFC 9112 5.1": (get(host=b"Host : a\r\n"), 400),
    "a header folded, RFC 9112 5.2": (get(more=b"X-A: a\r\n b\r\n"), 400),
    "a header without a colon": (get(more=b"X-A\r\n"), 400),
    "a header without a name": (get(more=b": a\r\n"), 400),
    "a bare CR, RFC 9112 2.2": (get(more=b"X-A: a\rb\r\n"), 400),
    "NUL, RFC 9110 5.5": (get(more=b"X-A: a\0b\r\n"), 400),
    "both framings, RFC 9112 6.1": (framed(b"Content-Length: 5\r\n" + _CHUNKED, _CHUNKS), 400),
    "both framings, the other way": (framed(_CHUNKED + b"Content-Length: 5\r\n", _CHUNKS), 400),
    "chunked is not last, RFC 9112 6.3": (framed(b"Transfer-Encoding: chunked, gzip\r\n", _CHUNKS), 400),
    "chunked twice": (framed(_CHUNKED * 2, _CHUNKS), 400),
    "an unknown coding, RFC 9112 6.1": (framed(b"Transfer-Encoding: gzip, chunked\r\n", _CHUNKS), 501),
    "a coding in HTTP/1.0": (b"POST /tell HTTP/1.0\r\n" + _CHUNKED + b"\r\n" + _CHUNKS, 400),
    "two lengths, RFC 9112 6.3": (framed(b"Content-Length: 5\r\nContent-Length: 6\r\n", b"hello!"), 400),
    "a length with a sign": (framed(b"Content-Length: +5\r\n", b"hello"), 400),
    "a length below 0": (framed(b"Content-Length: -5\r\n", b"hello"), 400),
    "a length in hexadecimal": (framed(b"Content-Length: 0x5\r\n", b"hello"), 400),
    "a length without an end": (framed(b"Content-Length: " + b"9" * 30 + b"\r\n", b"hello"), 400),
    "a chunk without a size": (framed(_CHUNKED, b"zz\r\nhello\r\n0\r\n\r\n"), 400),
    "a chunk below 0": (framed(_CHUNKED, b"-5\r\nhello\r\n0\r\n\r\n"), 400),
    "a chunk without an end": (framed(_CHUNKED, b"f" * 17 + b"\r\nhello"), 400),
    "a chunk longer than it says": (framed(_CHUNKED, b"5\r\nhello, world\r\n0\r\n\r\n"), 400),
    "20,000 bytes of target": (get(b"/tell?" + b"a" * 20_000), 414),
    "one header of 100 kB, Kludex/uvicorn#157": (get(more=b"X-A: " + b"a" * 100_000 + b"\r\n"), 431),
    "2,000 headers": (get(more=b"".join(b"X-%d: a\r\n" % number for number in range(2_000))), 431),
    "a trailer of 100 kB": (framed(_CHUNKED, b"5\r\nhello\r\n0\r\nX-A: " + b"a" * 100_000 + b"\r\n\r\n"), 431),
    "1,200 headers of 100 kB": (get(more=(b"X-A: " + b"a" * 100_000 + b"\r\n") * 1_200), 431),
}


@pytest.mark.parametrize("case", FORBIDDEN)
async def test_a_request_that_they_forbid_is_refused_as_a_problem(port: int, case: str) -> None:
    sent, status = FORBIDDEN[case]
    heard = await ask(port, sent, answers=2)
    assert (heard.statuses, heard.closed) == ([status], True)
    assert heard.header("content-type") == "application/problem+json"
    assert (heard.header("connection"), heard.header("x-frame-options")) == ("close", "DENY")
    assert heard.json["status"] == status
    assert heard.json.keys() == {"type", "title", "status", "detail", "code", "request_id"}


async def test_a_head_without_an_end_is_refused_as_soon_as_it_is_too_large(port: int) -> None:
    for sent in (get(more=b"X-A: " + b"a" * 900_000)[:-4], get(b"/tell?" + b"a" * 900_000)[:900_000]):
        assert (await ask(port, sent, answers=2)).statuses[0] in (414, 431)


async def test_what_is_refused_is_counted(port: int) -> None:
    before = REFUSED.value("400", "malformed_request")
    await ask(port, get(host=b""), answers=2)
    assert REFUSED.value("400", "malformed_request") == before + 1


async def test_trailers_are_no_headers(port: int) -> None:
    heard = await ask(port, framed(_CHUNKED, b"5\r\nhello\r\n0\r\nAuthorization: Bearer x\r\n\r\n"))
    assert (heard.json["body"], "authorization" in heard.json["headers"]) == ("hello", False)


async def test_answers_come_in_the_order_of_the_requests_and_none_is_cut_by_a_later_fault(port: int) -> None:
    heard = await ask(port, post() + post(OFFER, b"again") + get(b"/none"), answers=3)
    assert heard.statuses == [200, 200, 404]
    faulty = await ask(port, post() + get(host=b""), answers=2)
    assert (faulty.statuses, faulty.closed) == ([200], True)
    broken = await ask(port, post() + framed(_CHUNKED, b"zz\r\n"), answers=2)
    assert (broken.statuses, broken.closed) == ([200], True)


@pytest.mark.parametrize("more", [b"Connection: close\r\n", b"Connection: keep-alive, Close\r\n"])
async def test_a_connection_ends_where_the_caller_asks_for_it(port: int, more: bytes) -> None:
    heard = await ask(port, post(more) + post(), answers=2)
    assert (heard.statuses, heard.closed, heard.header("connection")) == ([200], True, "close")


async def test_the_answer_to_head_has_no_body(port: int) -> None:
    heard = await ask(port, b"HEAD /livez HTTP/1.1\r\nConnection: close\r\n" + HOST + b"\r\n", answers=2)
    assert (heard.statuses, heard.body) == ([200], b"")


async def test_a_refusal_is_read_although_the_body_was_not(port: int) -> None:
    for more in (b"", b"Connection: close\r\n"):
        heard = await ask(port, post(more, b"x" * 5_000_000, target=b"/deaf"))
        assert heard.statuses == [401]


def test_the_limits_leave_room_for_what_browsers_and_proxies_send() -> None:
    limits = HttpLimits()
    assert (limits.target_bytes, limits.head_bytes, limits.headers) == (16_384, 32_768, 100)
    assert (limits.head_seconds, limits.body_seconds, limits.body_bytes_per_second) == (10, 20, 8_192)
