"""One HTTP try: what came back, and in which class it falls. No database here."""

import errno
import socket
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp

from service.kit.guarded_http import was_blocked
from service.kit.head_first import start_of_body
from service.webhooks.phases import Stopwatch

_EXCERPT_BYTES, _EXCERPT_SECONDS = 4096, 1.0
_OURS = frozenset({"internal", "blocked"})
_NO_ROOM = frozenset({
    errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EADDRNOTAVAIL, errno.ENETDOWN, errno.ENETUNREACH,
})  # fmt: skip
_BROKEN = (ConnectionResetError, ConnectionAbortedError, BrokenPipeError)  # of a connection made, at its TLS handshake


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one try achieved. `error_class` is `None` when the endpoint took the event (2xx).

    `excerpt` is the start of the endpoint's answer: hostile bytes, kept as they came. `resolver_failed` says that
    the name server gave no answer, which is not to say that the name does not exist.
    """

    status_code: int | None
    error_class: str | None
    phases_ms: dict[str, int | None]
    retry_after: str | None = None
    excerpt: bytes = b""
    resolver_failed: bool = False

    @property
    def is_ours(self) -> bool:
        """Whether it failed by a fault of ours, or may have: no endpoint is charged for that."""
        return self.error_class in _OURS or self.resolver_failed


async def attempt(session: aiohttp.ClientSession, url: str, body: bytes, headers: Mapping[str, str]) -> Outcome:
    """The outcome of one POST. Never raises for what the endpoint, or the way there, did.

    A kept-alive connection that was lost before any answer is tried once more at once: the endpoint may never
    have seen the request, and is not charged for it.
    """
    outcome, lost_before_answer = await _try(session, url, body, headers)
    if lost_before_answer:
        outcome, _ = await _try(session, url, body, headers)
    return outcome


async def _try(
    session: aiohttp.ClientSession, url: str, body: bytes, headers: Mapping[str, str]
) -> tuple[Outcome, bool]:
    """The outcome, and whether a connection that was kept alive from an earlier request broke before any answer."""
    watch = Stopwatch()
    try:
        return await _post(session, url, body, headers, watch), False
    except (aiohttp.ClientError, OSError, ValueError) as error:
        # aiohttp reports a connection closed as the first and one reset as the second.
        lost = isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError | ConnectionResetError)
        outcome = Outcome(None, class_of_error(error), watch.phases(), resolver_failed=_resolver_failed(error))
        return outcome, lost and watch.reused


async def _post(
    session: aiohttp.ClientSession, url: str, body: bytes, headers: Mapping[str, str], watch: Stopwatch
) -> Outcome:
    async with session.post(
        url, data=body, headers=headers, allow_redirects=False, trace_request_ctx=watch
    ) as response:
        watch.mark("answered")
        return Outcome(
            status_code=response.status,
            error_class=class_of_status(response.status),
            phases_ms=watch.phases(),  # they end here: the status has said what became of the event
            retry_after=response.headers.get("retry-after"),
            excerpt=await start_of_body(response, _EXCERPT_BYTES, _EXCERPT_SECONDS),
        )


def class_of_status(status: int) -> str | None:
    """The class of an answer; `None` for 2xx."""
    if 200 <= status < 300:  # noqa: PLR2004 - the classes of RFC 9110 §15
        return None
    if 300 <= status < 400:  # noqa: PLR2004
        return "redirect"
    return "http_4xx" if 400 <= status < 500 else "http_5xx"  # noqa: PLR2004


def class_of_error(error: BaseException) -> str:
    """The class of a try that brought no answer."""
    if was_blocked(error):
        return "blocked"
    if isinstance(error, TimeoutError):
        return "timeout"
    if _is_dns(error):
        return "dns"
    if _errno(error) in _NO_ROOM:
        return "internal"
    if isinstance(error, aiohttp.ClientSSLError):
        return "tls"
    refused = isinstance(error, aiohttp.ClientConnectorError) and not isinstance(error.os_error, _BROKEN)
    return "refused" if refused else "reset"


def _is_dns(error: BaseException) -> bool:
    return isinstance(error, aiohttp.ClientConnectorDNSError) or isinstance(error.__cause__, socket.gaierror)


def _resolver_failed(error: BaseException) -> bool:
    """Whether the lookup got no answer (EAI_AGAIN, RFC 3493 §6.1): our name server, or the way to it."""
    return _is_dns(error) and _errno(error) == socket.EAI_AGAIN


def _errno(error: BaseException) -> int | None:
    inner = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    return inner.errno if isinstance(inner, OSError) else None
