"""The redirects of a customer's URL: followed a few times, each hop judged anew."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
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
from service.kit.http.guarded import guarded_session
from service.media.fetch import Source, SourceUnreachable, open_source

LOOPBACK = GuardPolicy(allow=(ip_network("127.0.0.0/8"),), https_only=False)
TRACK = b"track"

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class AllInside(AbstractResolver):
    """Every name is a machine in the operator's own network."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [ResolveResult(hostname=host, host="10.0.0.1", port=port, family=family, proto=0, flags=0)]

    async def close(self) -> None:
        pass


@asynccontextmanager
async def serving(answer: Answer, context: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    scheme = "https" if context else "http"
    server = TestServer(app, scheme=scheme)
    await server.start_server(ssl=context)
    try:
        yield f"{scheme}://127.0.0.1:{server.port}"
    finally:
        await server.close()


async def fetched(url: str, policy: GuardPolicy = LOOPBACK, timeout_seconds: float = 10) -> tuple[Source, bytes]:
    async with (
        guarded_session(policy, total_seconds=None, connect_seconds=2, resolver=AllInside()) as session,
        open_source(session, url, policy, max_bytes=10**6, timeout_seconds=timeout_seconds) as source,
    ):
        return source, b"".join([chunk async for chunk in source.chunks])


async def unreachable(url: str, policy: GuardPolicy = LOOPBACK, timeout_seconds: float = 10) -> SourceUnreachable:
    with pytest.raises(SourceUnreachable) as failed:
        await fetched(url, policy, timeout_seconds)
    return failed.value


def redirecting(hops: dict[str, str], seen: list[str], status: int = 302) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        seen.append(request.path)
        if request.path in hops:
            return web.Response(status=status, headers={"Location": hops[request.path]})
        return web.Response(body=TRACK, content_type="audio/mpeg")

    return answer


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed_where_each_hop_is_allowed(status: int) -> None:
    async def scene() -> None:
        seen: list[str] = []
        async with serving(redirecting({"/a.mp3": "/b", "/b": "c?x=1"}, seen, status)) as server:
            source, body = await fetched(f"{server}/a.mp3")
            assert (body, source.url, source.file_name) == (TRACK, f"{server}/c?x=1", "a.mp3")
            assert seen == ["/a.mp3", "/b", "/c"]

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("hop", "word"),
    [
        ("http://10.0.0.1/secret", "1918"),
        ("http://[::ffff:127.0.0.1]/secret", "mapped"),
        ("//169.254.169.254/latest/meta-data", "metadata"),
        ("http://2852039166/", "metadata"),
        ("http://user@127.0.0.1/", "user information"),
        ("http://127.0.0.1:22/", "port"),
        ("ftp://127.0.0.1/", "https://"),
        ("file:///etc/passwd", "https://"),
        ("http://inside.example/", "the guard refused 10.0.0.1"),
        ("http://[", "leads nowhere"),
        ("", "redirects"),
    ],
)
def test_redirect_to_a_refused_place_ends_at_the_hop(hop: str, word: str) -> None:
    async def scene() -> None:
        async with serving(redirecting({"/a": hop}, [])) as server:
            failed = await unreachable(f"{server}/a")
            assert not failed.retryable
            assert word in failed.detail

    asyncio.run(scene())


def test_sixth_redirect_is_not_followed() -> None:
    async def scene() -> None:
        seen: list[str] = []
        hops = {f"/{n}": f"/{n + 1}" for n in range(7)}
        async with serving(redirecting(hops, seen)) as server:
            assert (await fetched(f"{server}/2"))[1] == TRACK  # five redirects
            seen.clear()
            failed = await unreachable(f"{server}/1")
            assert (failed.retryable, failed.detail) == (False, "more than 5 redirects")
            assert seen == ["/1", "/2", "/3", "/4", "/5", "/6"]

    asyncio.run(scene())


def test_redirect_without_a_place_is_unreachable() -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=302)

    async def scene() -> None:
        async with serving(answer) as server:
            assert not (await unreachable(server)).retryable

    asyncio.run(scene())


def test_plain_http_is_refused_where_https_is_demanded() -> None:
    async def scene() -> None:
        seen: list[str] = []
        async with serving(redirecting({}, seen)) as server:
            policy = GuardPolicy(allow=LOOPBACK.allow, https_only=True)
            failed = await unreachable(server, policy)
        assert "must begin with https://" in failed.detail
        assert seen == []

    asyncio.run(scene())


def test_deadline_spans_all_hops() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.1)
        return web.Response(status=302, headers={"Location": f"{request.path}x"})

    async def scene() -> None:
        async with serving(answer) as server:
            failed = await unreachable(f"{server}/a", timeout_seconds=0.25)
            assert failed.detail == "took too long"

    asyncio.run(scene())


def test_redirect_down_to_plain_http_is_refused_where_https_is_demanded(tmp_path: Path) -> None:
    certificate = certificate_for("127.0.0.1", tmp_path)
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(certificate)
    https_only = GuardPolicy(allow=LOOPBACK.allow, https_only=True)

    async def scene() -> None:
        seen: list[str] = []
        async with (
            serving(redirecting({}, seen)) as plain,
            serving(redirecting({"/a": "/b", "/b": plain}, seen), server_side) as server,
            guarded_session(https_only, total_seconds=None, connect_seconds=2) as session,
        ):
            assert isinstance(session.connector, aiohttp.TCPConnector)
            session.connector._ssl = ssl.create_default_context(cafile=certificate)
            with pytest.raises(SourceUnreachable, match="must begin with https://") as failed:
                await opened(session, f"{server}/a", https_only)
            assert not failed.value.retryable
            assert seen == ["/a", "/b"]

    asyncio.run(scene())


async def opened(session: aiohttp.ClientSession, url: str, policy: GuardPolicy) -> None:
    async with open_source(session, url, policy, max_bytes=10**6, timeout_seconds=5):
        pass


def certificate_for(address: str, folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, address)])
    start = datetime.now(UTC) - timedelta(hours=1)
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))])
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), 1, start, start + timedelta(days=1))
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / "certificate.pem"
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return path
