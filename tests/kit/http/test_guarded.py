"""What the guarded session dials, on real sockets of this machine."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.test_utils import TestServer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from service.kit.http.guard import GuardPolicy
from service.kit.http.guarded import (
    Blocked,
    GuardedResolver,
    RefusedUrl,
    guarded_session,
    read_at_most,
    vetted_socket,
    was_blocked,
)

PUBLIC_ONLY = GuardPolicy(https_only=False)
LOOPBACK = GuardPolicy(allow=(ip_network("127.0.0.0/8"), ip_network("::1/128")), https_only=False)
PUBLIC = "93.184.216.34"


class Answers(AbstractResolver):
    """Gives each look-up the next of the answers, and the last one again and again."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        self.asked.append(host)
        addresses = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
            for address in addresses
        ]

    async def close(self) -> None:
        pass


class NoSuchName(Answers):
    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        raise socket.gaierror(socket.EAI_NONAME, f"Name or service not known: {host}:{port} {family}")


class Seen:
    """A loopback server that notes each request."""

    def __init__(self) -> None:
        self.requests: list[web.Request] = []
        self.port = 0

    async def answer(self, request: web.Request) -> web.Response:
        self.requests.append(request)
        if request.path == "/redirect":
            return web.Response(status=302, headers={"Location": "/", "Set-Cookie": "a=b"})
        if request.path == "/gzip":
            return web.Response(body=b"\x1f\x8bnot really", headers={"Content-Encoding": "gzip"})
        return web.Response(text="here", headers={"Set-Cookie": "a=b"})


@asynccontextmanager
async def listening(context: ssl.SSLContext | None = None) -> AsyncIterator[Seen]:
    seen = Seen()
    app = web.Application()
    app.router.add_get("/{path:.*}", seen.answer)
    server = TestServer(app, scheme="https" if context else "http")
    await server.start_server(ssl=context)
    try:
        assert server.port is not None
        seen.port = server.port
        yield seen
    finally:
        await server.close()


def session(policy: GuardPolicy, resolver: AbstractResolver | None = None) -> aiohttp.ClientSession:
    return guarded_session(policy, total_seconds=5, connect_seconds=2, resolver=resolver)


async def failure(policy: GuardPolicy, url: str, resolver: AbstractResolver | None = None) -> aiohttp.ClientError:
    async with session(policy, resolver) as client:
        with pytest.raises(aiohttp.ClientError) as failed:
            await client.get(url, allow_redirects=False)
    return failed.value


def test_loopback_is_reached_only_where_it_is_allowed() -> None:
    async def scene() -> None:
        async with listening() as seen:
            url = f"http://127.0.0.1:{seen.port}/"
            assert was_blocked(await failure(PUBLIC_ONLY, url))
            assert seen.requests == []
            async with session(LOOPBACK) as client, client.get(url, allow_redirects=False) as response:
                assert await response.text() == "here"

    asyncio.run(scene())


def test_name_of_this_machine_is_blocked_when_dialled() -> None:
    async def scene() -> None:
        async with listening() as seen:
            error = await failure(PUBLIC_ONLY, f"http://localhost:{seen.port}/")
            assert isinstance(error, aiohttp.ClientConnectorDNSError)
            assert isinstance(error.os_error, Blocked)
            assert was_blocked(error)
            async with session(LOOPBACK) as client, client.get(f"http://localhost:{seen.port}/") as response:
                assert response.status == 200

    asyncio.run(scene())


@pytest.mark.parametrize(
    "addresses", [[PUBLIC, "127.0.0.1"], ["127.0.0.1", PUBLIC], [PUBLIC, "2606:4700::1", "::ffff:10.0.0.1"]]
)
def test_one_refused_address_among_public_ones_refuses_the_name(addresses: list[str]) -> None:
    async def scene() -> None:
        async with listening() as seen:
            error = await failure(PUBLIC_ONLY, f"http://mixed.example:{seen.port}/", Answers(addresses))
            assert was_blocked(error)
            assert seen.requests == []

    asyncio.run(scene())


def test_name_that_turns_private_after_the_first_look_is_refused() -> None:
    async def scene() -> None:
        async with listening() as seen:
            inner = Answers([PUBLIC], ["127.0.0.1"])
            assert await GuardedResolver(PUBLIC_ONLY, inner).resolve("turns.example", seen.port)
            error = await failure(PUBLIC_ONLY, f"http://turns.example:{seen.port}/", inner)
            assert was_blocked(error)
            assert inner.asked == ["turns.example", "turns.example"]
            assert seen.requests == []

    asyncio.run(scene())


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["127.0.0.1", "127.0.0.2"], ["127.0.0.1", "::1"]])
def test_dialled_address_decides_even_if_the_resolver_is_not_judged(
    addresses: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        async with listening() as seen:
            inner = Answers(addresses)
            monkeypatch.setattr(GuardedResolver, "resolve", inner.resolve)
            error = await failure(PUBLIC_ONLY, f"http://turns.example:{seen.port}/")
            assert inner.asked == ["turns.example"]
            assert isinstance(error, aiohttp.ClientConnectorError)
            assert was_blocked(error)
            assert seen.requests == []

    asyncio.run(scene())


@pytest.mark.parametrize(
    "dialled",
    [
        ("127.0.0.1", 80),
        ("fe80::1%25eth0", 80, 0, 0),
        ("2606:4700:4700::1111", 80, 0, 2),
        ("not an address", 80),
        ("::ffff:8.8.8.8", 80, 0, 0),
    ],
)
def test_no_socket_is_made_for_a_refused_address(dialled: tuple[str | int, ...]) -> None:
    family = socket.AF_INET6 if len(dialled) > 2 else socket.AF_INET
    with pytest.raises(Blocked):
        vetted_socket((family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", dialled), PUBLIC_ONLY)


def test_socket_is_made_for_a_public_address() -> None:
    info = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (PUBLIC, 443))
    with vetted_socket(info, PUBLIC_ONLY) as made:
        assert (made.family, made.type) == (socket.AF_INET, socket.SOCK_STREAM)


def test_name_stays_in_the_host_header() -> None:
    async def scene() -> None:
        async with (
            listening() as seen,
            session(LOOPBACK, Answers(["127.0.0.1"])) as client,
            client.get(f"http://cdn.example:{seen.port}/track.mp3"),
        ):
            assert seen.requests[0].headers["Host"] == f"cdn.example:{seen.port}"

    asyncio.run(scene())


def test_name_is_asked_for_in_the_tls_handshake(tmp_path: Path) -> None:
    names: list[str | None] = []
    certificate = certificate_for("cdn.example", tmp_path)
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(certificate)
    server_side.sni_callback = lambda _socket, name, _context: names.append(name)

    async def scene() -> None:
        async with (
            listening(server_side) as seen,
            session(LOOPBACK, Answers(["127.0.0.1"])) as client,
            client.get(
                f"https://cdn.example:{seen.port}/", ssl=ssl.create_default_context(cafile=certificate)
            ) as response,
        ):
            assert response.status == 200

    asyncio.run(scene())
    assert names == ["cdn.example"]


def certificate_for(name: str, folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    start = datetime.now(UTC) - timedelta(hours=1)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), 1, start, start + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / "certificate.pem"
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return path


def test_redirect_is_handed_over_or_refused_but_not_followed() -> None:
    async def scene() -> None:
        async with listening() as seen, session(LOOPBACK) as client:
            url = f"http://127.0.0.1:{seen.port}/redirect"
            async with client.get(url, allow_redirects=False) as response:
                assert response.status == 302
            with pytest.raises(RefusedUrl, match="redirect"):
                await client.get(url)
            assert [request.path for request in seen.requests] == ["/redirect", "/redirect"]

    asyncio.run(scene())


@pytest.mark.parametrize("url", ["http://127.0.0.1:22/", "http://2130706433:8000/", "http://0x7f000001/"])
def test_url_is_checked_again_by_the_session(url: str) -> None:
    assert isinstance(asyncio.run(failure(LOOPBACK, url)), RefusedUrl)


def test_https_is_demanded_by_the_session_too() -> None:
    async def scene() -> None:
        async with listening() as seen:
            policy = GuardPolicy(allow=LOOPBACK.allow, https_only=True)
            assert was_blocked(await failure(policy, f"http://127.0.0.1:{seen.port}/"))
            assert seen.requests == []

    asyncio.run(scene())


def test_nothing_is_decompressed_and_no_cookie_is_kept() -> None:
    async def scene() -> None:
        async with listening() as seen, session(LOOPBACK) as client:
            for path in ("", "gzip"):
                async with client.get(f"http://127.0.0.1:{seen.port}/{path}") as response:
                    body = await response.read()
            assert body == b"\x1f\x8bnot really"
            assert [request.headers["Accept-Encoding"] for request in seen.requests] == ["identity"] * 2
            assert all("Cookie" not in request.headers for request in seen.requests)

    asyncio.run(scene())


def test_environment_names_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")

    async def scene() -> None:
        async with (
            listening() as seen,
            session(LOOPBACK) as client,
            client.get(f"http://127.0.0.1:{seen.port}/") as response,
        ):
            assert response.status == 200

    asyncio.run(scene())


@pytest.mark.parametrize(("cap", "body"), [(0, b""), (2, b"he"), (4, b"here"), (9, b"here")])
def test_body_is_read_up_to_the_cap(cap: int, body: bytes) -> None:
    async def scene() -> None:
        async with (
            listening() as seen,
            session(LOOPBACK) as client,
            client.get(f"http://127.0.0.1:{seen.port}/") as response,
        ):
            assert await read_at_most(response, cap) == body

    asyncio.run(scene())


@pytest.mark.parametrize("resolver", [NoSuchName(), Answers([])], ids=["no such name", "no address"])
def test_failed_lookup_is_an_error_of_the_way_and_not_of_the_guard(resolver: AbstractResolver) -> None:
    error = asyncio.run(failure(PUBLIC_ONLY, "http://nowhere.example/", resolver))
    assert isinstance(error, aiohttp.ClientConnectorDNSError)
    assert not was_blocked(error)


def test_name_that_python_cannot_encode_is_an_error_of_the_way() -> None:
    async def scene() -> None:
        resolver = GuardedResolver(PUBLIC_ONLY, aiohttp.ThreadedResolver())
        with pytest.raises(OSError, match="cannot be looked up"):
            await resolver.resolve(f"{'a' * 64}.example", 80)

    asyncio.run(scene())


def test_refused_connection_is_not_blocked() -> None:
    with socket.socket() as bound:  # bound and not listening: the port answers with a reset
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        assert not was_blocked(asyncio.run(failure(LOOPBACK, f"http://127.0.0.1:{port}/")))
