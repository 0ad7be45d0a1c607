"""One try against peers that behave in every way a customer's server can, over real sockets."""

import asyncio
import errno
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from service.kit.http.guard import GuardPolicy
from service.webhooks.sending.attempt import Outcome, attempt
from tests.loopback import Peer, answer, peer, read_request
from tests.webhooks.certificates import self_signed
from tests.webhooks.desk import LOOPBACK, session_on

BODY = b'{"type":"detection.completed"}'
Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Names(AbstractResolver):
    """Knows the names it was given, and no other."""

    known: dict[str, str] = field(default_factory=dict)

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_INET,  # noqa: ARG002 - aiohttp's signature
    ) -> list[ResolveResult]:
        if host not in self.known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [ResolveResult(hostname=host, host=self.known[host], port=port, family=socket.AF_INET, proto=0, flags=0)]

    async def close(self) -> None:
        pass


async def post(url: str, policy: GuardPolicy = LOOPBACK, *, timeout_seconds: float = 5, **names: str) -> Outcome:
    """The outcome of a try on a fresh session. The names are those of hosts in `.example`."""
    resolver = Names({f"{name}.example": address for name, address in names.items()})
    async with session_on(policy, timeout_seconds, resolver) as session:
        return await attempt(session, url, BODY, {"webhook-id": "evt_1"})


def answering(said: bytes, *, hang_up: bool = False) -> Script:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(said)
        if hang_up:
            await writer.drain()
            writer.close()

    return script


async def reset(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The connection ends with RST."""
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def close(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The connection ends with FIN."""
    writer.close()


@pytest.mark.parametrize(
    ("status", "error_class"),
    [
        *((status, None) for status in (200, 201, 202, 204, 299)),
        *((status, "redirect") for status in (300, 301, 302, 304, 307, 308)),
        *((status, "http_4xx") for status in (400, 401, 404, 410, 429, 499)),
        *((status, "http_5xx") for status in (500, 502, 503, 599)),
    ],
)
async def test_the_status_says_what_became_of_it(status: int, error_class: str | None) -> None:
    async with peer(answering(answer(b"", status=f"{status} Whatever"))) as customer:
        outcome = await post(customer.url)
    assert (outcome.status_code, outcome.error_class) == (status, error_class)


async def test_the_bytes_arrive_as_they_are() -> None:
    got: list[tuple[str, dict[str, str], bytes]] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.append(await read_request(reader))
        writer.write(answer(b"thank you", headers="retry-after: 7\r\n"))

    async with peer(script) as customer:
        outcome = await post(f"{customer.url}/in%2Fx?a=1%2B1&b=%26")
    line, headers, body = got[0]
    assert (line, body) == ("POST /in%2Fx?a=1%2B1&b=%26 HTTP/1.1", BODY)
    assert (headers["webhook-id"], headers["accept-encoding"]) == ("evt_1", "identity")
    assert (outcome.excerpt, outcome.retry_after) == (b"thank you", "7")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_never_followed(status: int) -> None:
    async with peer(answering(answer(b""))) as elsewhere:
        there = f"location: {elsewhere.url}/\r\n"
        async with peer(answering(answer(b"", status=f"{status} Moved", headers=there))) as customer:
            outcome = await post(customer.url)
        assert (outcome.status_code, outcome.error_class) == (status, "redirect")
        assert elsewhere.opened == 0


async def test_nobody_listening_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    outcome = await post(f"http://127.0.0.1:{port}/")
    assert (outcome.status_code, outcome.error_class) == (None, "refused")
    assert outcome.phases_ms["first_byte"] is None


@pytest.mark.parametrize("how", [close, reset])
async def test_hanging_up_before_an_answer_is_a_reset_and_tried_once(how: Script) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await how(reader, writer)

    async with peer(script) as customer:
        outcome = await post(customer.url)
        assert (outcome.status_code, outcome.error_class) == (None, "reset")
        assert customer.opened == 1


@pytest.mark.parametrize(
    "said", [b"ENOTHTTP\r\n\r\n", b"HTTP/1.1 \xff\r\n\r\n", b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n"]
)
async def test_what_is_not_http_is_no_answer(said: bytes) -> None:
    async with peer(answering(said, hang_up=True)) as customer:
        outcome = await post(customer.url)
    assert (outcome.status_code, outcome.error_class) == (None, "reset")


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 O", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n"])
async def test_no_answer_in_time_is_a_timeout(said: bytes) -> None:
    async with peer(answering(said)) as customer:
        outcome = await post(customer.url, timeout_seconds=0.3)
    assert (outcome.status_code, outcome.error_class) == (None, "timeout")
    assert 250 <= (outcome.phases_ms["total"] or 0) < 3000


@pytest.mark.parametrize("how", [close, reset])
async def test_hanging_up_in_the_handshake_is_a_reset(how: Script) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        await how(reader, writer)

    async with peer(script) as customer:
        outcome = await post(customer.url.replace("http:", "https:"))
    assert (outcome.status_code, outcome.error_class) == (None, "reset")


async def test_a_peer_that_speaks_no_tls_fails_its_handshake() -> None:
    async def script(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(b"", status="400 Speak plainly"))

    async with peer(script) as customer:
        outcome = await post(customer.url.replace("http:", "https:"))
    assert (outcome.status_code, outcome.error_class) == (None, "tls")


async def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    async with tls_server(tmp_path) as port:
        outcome = await post(f"https://customer.example:{port}/", customer="127.0.0.1")
    assert (outcome.status_code, outcome.error_class) == (None, "tls")


async def test_a_name_that_does_not_resolve_is_dns() -> None:
    outcome = await post("http://nowhere.example/")
    assert (outcome.status_code, outcome.error_class, outcome.is_ours) == (None, "dns", False)


async def test_a_name_server_that_does_not_answer_is_not_the_endpoints_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(*_: object) -> list[ResolveResult]:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(Names, "resolve", silent)
    outcome = await post("http://customer.example/")
    assert (outcome.error_class, outcome.is_ours) == ("dns", True)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENETUNREACH, errno.ENOBUFS])
async def test_a_connection_that_we_could_not_even_try_is_a_fault_of_ours(
    monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def none_left(*_: object) -> socket.socket:
        raise OSError(number, "no more of that")

    monkeypatch.setattr("service.kit.http.guarded.vetted_socket", none_left)
    outcome = await post("http://127.0.0.1:9999/")
    assert (outcome.error_class, outcome.is_ours) == ("internal", True)


async def test_what_the_endpoint_did_is_its_own() -> None:
    async with peer(answering(answer(b"", status="503 No"))) as customer:
        outcome = await post(customer.url)
    assert (outcome.error_class, outcome.is_ours) == ("http_5xx", False)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "http://customer.example/"])
async def test_what_the_guard_refuses_is_blocked(url: str) -> None:
    outcome = await post(url, GuardPolicy(https_only=False), customer="127.0.0.1")
    assert (outcome.status_code, outcome.error_class, outcome.is_ours) == (None, "blocked", True)


async def test_of_a_huge_answer_only_the_start_is_kept_and_the_rest_is_not_read() -> None:
    sent = 0

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await read_request(reader)
        writer.write(b"HTTP/1.1 500 Oh\r\ncontent-length: 1000000000\r\n\r\n")
        while sent < 1_000_000_000:
            writer.write(b"x" * 65_536)
            sent += 65_536
            await writer.drain()

    async with peer(script) as customer:
        outcome = await post(customer.url)
    assert (outcome.status_code, outcome.excerpt) == (500, b"x" * 4096)
    assert sent < 50_000_000


async def test_hostile_bytes_are_kept_as_they_came() -> None:
    hostile = b"\x00\xff\xfe<script>alert(1)</script>\x1b[2J\r\n"
    async with peer(answering(answer(hostile, headers="content-encoding: gzip\r\n"))) as customer:
        assert (await post(customer.url)).excerpt == hostile


@pytest.mark.parametrize(
    ("status", "error_class"), [("200 OK", None), ("503 Busy", "http_5xx"), ("410 Gone", "http_4xx")]
)
@pytest.mark.parametrize("hang_up", [True, False])
async def test_the_status_stands_although_the_answers_body_breaks_off(
    status: str, error_class: str | None, hang_up: bool
) -> None:
    said = f"HTTP/1.1 {status}\r\ncontent-length: 100\r\nretry-after: 9\r\n\r\nhalf".encode()
    async with peer(answering(said, hang_up=hang_up)) as customer:
        outcome = await post(customer.url, timeout_seconds=0.5)
    assert (outcome.status_code, outcome.error_class, outcome.retry_after) == (int(status[:3]), error_class, "9")


@asynccontextmanager
async def _kept_alive(
    second: Script, third: Script, *, timeout_seconds: float = 5
) -> AsyncIterator[tuple[Peer, aiohttp.ClientSession]]:
    """A connection that was used once. `second` is what its next request meets, `third` a fresh connection's."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if customer.opened > 1:
            await third(reader, writer)
            return
        await answering(answer(b"first"))(reader, writer)
        await read_request(reader)
        await second(reader, writer)

    async with peer(script) as customer, session_on(LOOPBACK, timeout_seconds) as session:
        assert (await attempt(session, customer.url, BODY, {})).excerpt == b"first"
        yield customer, session


@pytest.mark.parametrize("how", [close, reset])
async def test_a_kept_connection_that_is_lost_before_the_answer_is_replaced_at_once(how: Script) -> None:
    async with _kept_alive(how, answering(answer(b"again"))) as (customer, session):
        outcome = await attempt(session, customer.url, BODY, {})
        assert (outcome.status_code, outcome.excerpt) == (200, b"again")
        assert customer.opened == 2


@pytest.mark.parametrize("how", [close, reset])
async def test_but_only_once(how: Script) -> None:
    async with _kept_alive(how, how) as (customer, session):
        assert (await attempt(session, customer.url, BODY, {})).error_class == "reset"
        assert customer.opened == 2


async def test_a_timeout_on_a_kept_connection_is_not_repeated() -> None:
    async def silent(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        pass

    async with _kept_alive(silent, answering(answer(b"")), timeout_seconds=0.3) as (customer, session):
        assert (await attempt(session, customer.url, BODY, {})).error_class == "timeout"
        assert customer.opened == 1


async def test_an_answer_that_breaks_off_on_a_kept_connection_is_not_repeated() -> None:
    async def half(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 500 Oh\r\ncontent-length: 9\r\n\r\nhalf")
        writer.close()

    async with _kept_alive(half, answering(answer(b""))) as (customer, session):
        assert (await attempt(session, customer.url, BODY, {})).status_code == 500
        assert customer.opened == 1


async def test_the_phases_are_those_that_happened() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            await answering(answer(b""))(reader, writer)

    names = Names({"customer.example": "127.0.0.1"})
    async with peer(script) as customer, session_on(LOOPBACK, resolver=names) as session:
        url = f"http://customer.example:{customer.port}/"
        fresh = (await attempt(session, url, BODY, {})).phases_ms
        kept = (await attempt(session, url, BODY, {})).phases_ms
    assert [name for name, length in fresh.items() if length is not None] == ["dns", "connect", "first_byte", "total"]
    assert [name for name, length in kept.items() if length is not None] == ["first_byte", "total"]
    assert (fresh["first_byte"] or 0) <= (fresh["total"] or 0)


@asynccontextmanager
async def tls_server(folder: Path) -> AsyncIterator[int]:
    """The port of a server whose certificate only it believes in."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(folder, "customer.example"))
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]
