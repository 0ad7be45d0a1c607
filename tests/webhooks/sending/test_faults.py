"""Each fault in each phase of a try, over real sockets: its class and its advice are true of it.

Both event loops are tried: they raise different errors for one and the same fault.
"""

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvloop
from aiohttp.abc import AbstractResolver, ResolveResult

from service.kit.http.steps import tls_context
from service.webhooks.sending.attempt import Outcome, attempt, class_of_error
from service.webhooks.sending.finish import explain
from tests.loopback import answer
from tests.webhooks.certificates import self_signed
from tests.webhooks.desk import LOOPBACK, session_on
from tests.webhooks.sending.test_attempt import Names, answering, close, reset
from tests.webhooks.wrong import (
    NAME,
    Url,
    after_the_first_bytes,
    after_the_request,
    alerting,
    deaf,
    named,
    nobody,
    plain,
    refusing,
    saying,
    secure,
    secure_by_name_only,
    silence,
    speaking_plainly,
)

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
AT_WORK = "answer 2xx at once"  # advice for a receiver that got the request, and for no other


class Resolver(Names):
    """Knows one name, fails for two and has no answer for a third."""

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> Any:
        if host == "silent.example":
            await asyncio.Event().wait()
        if host == "again.example":
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        if host == "empty.example":
            return list[ResolveResult]()
        return await super().resolve(host, port, family)


TLS_1_2: dict[str, Any] = {"maximum_version": ssl.TLSVersion.TLSv1_2}
TLS_1_3: dict[str, Any] = {"minimum_version": ssl.TLSVersion.TLSv1_3}
DEMANDING: dict[str, Any] = {"verify_mode": ssl.CERT_REQUIRED}
# The fault, its class, a word that the advice has to hold, and whether it is charged to the endpoint.
FAULTS: dict[str, tuple[Callable[[Path], Url], str, str, bool]] = {
    "lookup: no such name": (lambda _: named("nowhere"), "dns", "did not resolve", True),
    "lookup: no address": (lambda _: named("empty"), "dns", "did not resolve", True),
    "lookup: no name server": (lambda _: named("again"), "dns", "not counted", False),
    "lookup: silence": (lambda _: named("silent"), "dns", "not counted", False),
    "connect: refused": (lambda _: nobody(), "refused", "port is open", True),
    "connect: silence": (lambda _: deaf("http"), "timeout", "firewall", True),
    "connect: silence, https": (lambda _: deaf("https"), "timeout", "firewall", True),
    "handshake: silence": (lambda _: secure_by_name_only(silence), "timeout", "TLS handshake", True),
    "handshake: closed": (lambda _: secure_by_name_only(after_the_first_bytes(close)), "reset", "TLS handshake", True),
    "handshake: reset": (lambda _: secure_by_name_only(after_the_first_bytes(reset)), "reset", "TLS handshake", True),
    "handshake: no TLS": (
        lambda _: secure_by_name_only(after_the_first_bytes(speaking_plainly)),
        "tls",
        "speaks TLS",
        True,
    ),
    "handshake: another name": (lambda folder: secure(silence, folder / "other"), "tls", "certificate", True),
    "handshake: unknown issuer": (lambda folder: secure(silence, folder / "unknown"), "tls", "certificate", True),
    "handshake: demands a certificate": (
        lambda folder: refusing(folder, **DEMANDING, **TLS_1_2),
        "tls",
        "none of ours",
        True,
    ),
    "handshake: another version": (
        lambda _: secure_by_name_only(after_the_first_bytes(alerting)),
        "tls",
        "version",
        True,
    ),
    "request: demands a certificate": (
        lambda folder: refusing(folder, **DEMANDING, **TLS_1_3),
        "tls",
        "demands a client certificate",
        True,
    ),
    "request: closed": (lambda _: plain(after_the_request(close)), "reset", "before a whole answer", True),
    "request: reset": (lambda _: plain(after_the_request(reset)), "reset", "before a whole answer", True),
    "request: closed, https": (
        lambda folder: secure(after_the_request(close), folder),
        "reset",
        "before a whole answer",
        True,
    ),
    "request: silence": (lambda _: plain(silence), "timeout", AT_WORK, True),
    "request: silence, https": (lambda folder: secure(silence, folder), "timeout", AT_WORK, True),
    "answer: half a head": (
        lambda _: plain(saying(b"HTTP/1.1 200 OK\r\nx: y")),
        "reset",
        "before a whole answer",
        True,
    ),
    "answer: no HTTP": (
        lambda _: plain(saying(b"220 mail.example ESMTP\r\n\r\n")),
        "reset",
        "not an HTTP answer",
        True,
    ),
    "answer: no final status": (
        lambda _: plain(saying(b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n")),
        "http_5xx",
        "not a final status",
        True,
    ),
}


async def met(url: Url, resolver: AbstractResolver) -> Outcome:
    async with url as address, session_on(LOOPBACK, 0.7, resolver) as session:
        return await attempt(session, address, b"{}", {})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates: for the right name, for another one, and one that the client does not know."""
    made = tmp_path_factory.mktemp("tls")
    for place, name in ((made, NAME), (made / "other", "other.example"), (made / "unknown", NAME)):
        place.mkdir(exist_ok=True)
        self_signed(place, name)
    return made


@pytest.fixture
def trusting(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client trusts the first two of them."""
    both = folder / "both.pem"
    both.write_bytes((folder / "certificate.pem").read_bytes() + (folder / "other" / "certificate.pem").read_bytes())
    monkeypatch.setattr("service.kit.http.guarded.tls_context", partial(tls_context, str(both)))


@pytest.mark.usefixtures("trusting")
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("fault", FAULTS)
def test_the_class_and_the_advice_are_true_of_the_fault(folder: Path, fault: str, loop: str) -> None:
    make, error_class, advice, counted = FAULTS[fault]
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        outcome = runner.run(met(make(folder), Resolver({NAME: "127.0.0.1"})))
    assert outcome.error_class == error_class
    sentence = explain(outcome)
    assert advice in sentence
    assert (AT_WORK in sentence) == (advice == AT_WORK)
    assert outcome.is_ours != counted


@pytest.mark.usefixtures("trusting")
@pytest.mark.parametrize("loop", LOOPS)
def test_an_alert_that_a_reset_overtakes_is_hinted_at(folder: Path, loop: str) -> None:
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        url = refusing(folder, abrupt=True, **DEMANDING, **TLS_1_3)
        outcome = runner.run(met(url, Resolver({NAME: "127.0.0.1"})))
    assert outcome.error_class in ("tls", "reset")
    assert "demands a client certificate" in explain(outcome)


@pytest.mark.usefixtures("trusting")
@pytest.mark.parametrize("loop", LOOPS)
def test_the_handshake_is_timed_apart(folder: Path, loop: str) -> None:
    async def scene() -> list[Outcome]:
        names = Resolver({NAME: "127.0.0.1"})
        async with secure(answering_twice, folder) as url, session_on(LOOPBACK, 5, names) as session:
            return [await attempt(session, url, b"{}", {}) for _ in range(2)]

    async def answering_twice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            await answering(answer(b""))(reader, writer)

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        fresh, kept = runner.run(scene())
    assert (fresh.status_code, kept.status_code) == (200, 200)
    assert None not in fresh.phases_ms.values()
    assert [name for name, length in kept.phases_ms.items() if length is not None] == ["first_byte", "total"]


@pytest.mark.usefixtures("trusting")
def test_of_a_handshake_that_fails_the_connection_before_it_is_timed(folder: Path) -> None:
    outcome = asyncio.run(met(secure_by_name_only(silence), Resolver()))
    assert outcome.phases_ms["connect"] is not None
    assert (outcome.phases_ms["tls"], outcome.phases_ms["first_byte"]) == (None, None)
    assert outcome.reached == "handshake"
    del folder


@pytest.mark.parametrize(
    ("error", "error_class"),
    [
        (OSError(errno.EHOSTUNREACH, "no route to host"), "refused"),
        (OSError(errno.ETIMEDOUT, "timed out"), "timeout"),
        (OSError("Multiple exceptions: [Errno 111], [Errno 113]"), "refused"),
        (OSError(errno.ENETUNREACH, "no network"), "internal"),
    ],
)
def test_a_connection_that_was_not_made_has_the_advice_for_that(
    monkeypatch: pytest.MonkeyPatch, error: OSError, error_class: str
) -> None:
    async def failing(*_: object, **__: object) -> None:
        raise error

    async def scene() -> Outcome:
        async with session_on(LOOPBACK) as session:
            return await attempt(session, "http://127.0.0.1:9999/", b"{}", {})

    monkeypatch.setattr(asyncio.BaseEventLoop, "sock_connect", failing, raising=False)
    monkeypatch.setattr("asyncio.selector_events.BaseSelectorEventLoop.sock_connect", failing)
    outcome = asyncio.run(scene())
    assert outcome.error_class == error_class
    assert AT_WORK not in explain(outcome)


def test_a_request_that_cannot_be_written_is_a_fault_of_ours() -> None:
    async def scene() -> Outcome:
        async with plain(answering(answer(b""))) as url, session_on(LOOPBACK) as session:
            return await attempt(session, url, b"{}", {"x-own": "a\r\nb: c"})

    outcome = asyncio.run(scene())
    assert (outcome.error_class, outcome.is_ours) == ("internal", True)


def test_a_kept_connection_that_falls_silent_had_the_request() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answering(answer(b""))(reader, writer)
        await silence(reader, writer)

    async def scene() -> Outcome:
        async with plain(script) as url, session_on(LOOPBACK, 0.5) as session:
            assert (await attempt(session, url, b"{}", {})).status_code == 200
            return await attempt(session, url, b"{}", {})

    outcome = asyncio.run(scene())
    assert (outcome.error_class, outcome.reached) == ("timeout", "request")
    assert AT_WORK in explain(outcome)


def test_what_aiohttp_raises_is_read_to_its_cause() -> None:
    alert = ssl.SSLError(1, "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required")
    lost = aiohttp.ClientOSError(*alert.args)
    lost.__cause__ = alert
    assert class_of_error(lost, "request") == "tls"
    assert class_of_error(ssl.SSLEOFError(8, "EOF occurred in violation of protocol"), "request") == "reset"
