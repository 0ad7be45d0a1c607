"""One HTTP attempt: what came back, its class, and the time of each phase. No database here."""

import errno
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import aiohttp
from yarl import URL

from service.kit.http.guarded import was_blocked
from service.kit.http.head_first import start_of_body
from service.kit.http.steps import (
    CONNECTED,
    CONNECTING,
    DIALLED,
    LOOKED_UP,
    LOOKING_UP,
    SECURED,
    SECURING,
    TLS_BROKE,
    steps_reported_to,
)

Phase = Literal["lookup", "connect", "handshake", "request", "answer"]
"""The phase of an attempt when it ended. `answer`: something had come back."""

ANSWERED = "answered"


@dataclass(slots=True)
class Stopwatch:
    """Marks of one request, by the monotonic clock."""

    started: float = field(default_factory=time.monotonic)
    marks: dict[str, float] = field(default_factory=dict)

    def mark(self, name: str) -> None:
        """Note that `name` happens now, unless it had happened before."""
        self.marks.setdefault(name, time.monotonic())

    @property
    def reused(self) -> bool:
        """Return True if the request has a connection, and none was made for it: it was kept alive."""
        return CONNECTED in self.marks and CONNECTING not in self.marks

    @property
    def reached(self) -> Phase:
        """Return the phase at the last mark."""
        if CONNECTED in self.marks:
            return "request"
        if SECURING in self.marks:
            return "handshake"
        return "connect" if DIALLED in self.marks else "lookup"

    def phases(self) -> dict[str, int | None]:
        """Return milliseconds for `dns, connect, tls, first_byte, total`; `None` for what did not happen."""
        marks = self.marks
        begin = DIALLED if DIALLED in marks else LOOKED_UP if LOOKED_UP in marks else CONNECTING
        return {
            "dns": self._span(LOOKING_UP, LOOKED_UP),
            "connect": self._span(begin, SECURING if SECURING in marks else CONNECTED),
            "tls": self._span(SECURING, SECURED),
            "first_byte": self._since_start(ANSWERED),
            "total": _milliseconds(time.monotonic() - self.started),
        }

    def _span(self, start: str, end: str) -> int | None:
        if start not in self.marks or end not in self.marks:
            return None
        return _milliseconds(self.marks[end] - self.marks[start])

    def _since_start(self, name: str) -> int | None:
        return _milliseconds(self.marks[name] - self.started) if name in self.marks else None


def _milliseconds(span: float) -> int:
    return max(0, round(span * 1000))


_EXCERPT_BYTES, _EXCERPT_SECONDS = 4096, 1.0
_OURS = frozenset({"internal", "blocked"})
_NO_ROOM = frozenset({
    errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EADDRNOTAVAIL, errno.ENETDOWN, errno.ENETUNREACH,
})  # fmt: skip
_ENDS_OF_TLS = (ssl.SSLEOFError, ssl.SSLZeroReturnError)  # the other side hung up, which is not a fault of TLS


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one attempt. `error_class` is `None` if the endpoint took the event (2xx).

    `excerpt` is the start of the endpoint's answer: hostile bytes, kept as they came. `resolver_failed` says that
    the name server gave no answer, which is not to say that the name does not exist. `reached` is the phase in
    which a try without an answer ended.
    """

    status_code: int | None
    error_class: str | None
    phases_ms: dict[str, int | None]
    retry_after: str | None = None
    excerpt: bytes = b""
    resolver_failed: bool = False
    reached: Phase = "request"

    @property
    def is_ours(self) -> bool:
        """Return True if it failed by a fault of ours, or may have: it does not count against the endpoint."""
        return self.error_class in _OURS or self.resolver_failed


async def attempt(session: aiohttp.ClientSession, url: URL | str, body: bytes, headers: Mapping[str, str]) -> Outcome:
    """POST once and return the outcome. Never raise for what the endpoint, or the network, did.

    A kept-alive connection that was lost before any answer is tried once more at once: the endpoint may never
    have seen the request, and the loss does not count against it.
    """
    outcome, lost_before_answer = await _try(session, url, body, headers)
    if lost_before_answer:
        outcome, _ = await _try(session, url, body, headers)
    return outcome


async def _try(
    session: aiohttp.ClientSession, url: URL | str, body: bytes, headers: Mapping[str, str]
) -> tuple[Outcome, bool]:
    """POST; return the outcome, and True if a kept-alive connection broke before any answer."""
    watch = Stopwatch()
    try:
        with steps_reported_to(watch.mark):
            return await _post(session, url, body, headers, watch), False
    except (aiohttp.ClientError, OSError, ValueError) as error:
        # aiohttp reports a connection closed as the first and one reset as the second.
        lost = isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError | ConnectionResetError)
        return _unanswered(error, watch), lost and watch.reused


def _unanswered(error: Exception, watch: Stopwatch) -> Outcome:
    reached = "answer" if isinstance(error, aiohttp.ClientResponseError) else watch.reached
    error_class = class_of_error(error, reached)
    if error_class == "reset" and TLS_BROKE in watch.marks:
        error_class = "tls"
    # No answer (EAI_AGAIN, RFC 3493 §6.1) says nothing about the name: our name server failed, or the way to it.
    resolver_failed = error_class == "dns" and (_errno(error) == socket.EAI_AGAIN or _is_timeout(error))
    return Outcome(None, error_class, watch.phases(), resolver_failed=resolver_failed, reached=reached)


async def _post(
    session: aiohttp.ClientSession, url: URL | str, body: bytes, headers: Mapping[str, str], watch: Stopwatch
) -> Outcome:
    # The one place where webhooks leave: their session does not watch for redirects, so none may be followed here.
    async with session.post(url, data=body, headers=headers, allow_redirects=False) as response:
        watch.mark(ANSWERED)
        return Outcome(
            status_code=response.status,
            error_class=class_of_status(response.status),
            phases_ms=watch.phases(),  # they end here: the status has said what became of the event
            retry_after=response.headers.get("retry-after"),
            excerpt=await start_of_body(response, _EXCERPT_BYTES, _EXCERPT_SECONDS),
        )


def class_of_status(status: int) -> str | None:
    """Return the class of an answer; `None` for 2xx."""
    if 200 <= status < 300:  # noqa: PLR2004 - the classes of RFC 9110 §15
        return None
    if 300 <= status < 400:  # noqa: PLR2004
        return "redirect"
    return "http_4xx" if 400 <= status < 500 else "http_5xx"  # noqa: PLR2004


def class_of_error(error: BaseException, reached: Phase) -> str:
    """Return the class of an attempt without an answer, which ended in the phase `reached`."""
    if was_blocked(error):
        return "blocked"
    if _is_dns(error) or (reached == "lookup" and _is_timeout(error)):
        return "dns"
    if _is_timeout(error):
        return "timeout"
    if _is_tls(error):
        return "tls"
    sendable = isinstance(error, aiohttp.ClientError | OSError)
    if _errno(error) in _NO_ROOM or reached == "lookup" or not sendable:
        return "internal"
    return "refused" if reached == "connect" else "reset"


def _is_dns(error: BaseException) -> bool:
    return isinstance(error, aiohttp.ClientConnectorDNSError) or isinstance(error.__cause__, socket.gaierror)


def _is_timeout(error: BaseException) -> bool:
    """Return True if our time was up, or the operating system's (`ETIMEDOUT`)."""
    return isinstance(error, TimeoutError) or _errno(error) == errno.ETIMEDOUT


def _is_tls(error: BaseException | None) -> bool:
    """Return True if TLS failed, however that was wrapped: after the handshake it comes as a lost connection."""
    while error is not None and not isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
        error = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error.__cause__
    return error is not None and not isinstance(error, _ENDS_OF_TLS)


def _errno(error: BaseException) -> int | None:
    inner = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    return inner.errno if isinstance(inner, OSError) else None
