"""The way of a request to a vendor, and what is known when it fails.

The tree of errors:

    VendorError          blame, retryable, failure
    ├── NotSent          nothing of the request was written: the same request may be sent again
    └── OutcomeUnknown   it may have been taken and billed: look for a callback before asking again

A complete answer is not an error, whatever its status, nor is a refusal (4xx, 5xx) whose body breaks off or never ends:
`answers.refusal` says what it means. What a request contains is the adapters' business.
"""

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from enum import StrEnum
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpcore
import httpx

from service.detectors.port import Raw
from service.kit.clock import Clock
from service.kit.http.multipart import FileForm
from service.kit.http.one_shot import OneShotTransport
from service.kit.system_clock import system_clock

Redactor = Callable[[bytes], bytes]
"""An answer's body without our secrets."""

_SHORTEST_KEY = 8  # a shorter one would stand in innocent words, and guards nothing


def no_redaction(body: bytes) -> bytes:
    """Return the body as it came."""
    return body


def redactor_for(key: str, base_url: str) -> Redactor:
    """Return what takes out `key`, and the token of each callback address and media link below `base_url`.

    The slashes may be escaped, as some writers of JSON do (RFC 8259 §7).
    """
    places = rf"{re.escape(base_url)}/(?:callbacks/[a-z]+|media)/".replace("/", r"\\?/")
    token = re.compile(rf"({places})[A-Za-z0-9._~-]+".encode())

    def cut(body: bytes) -> bytes:
        shown = body.replace(key.encode(), b"[key]") if len(key) >= _SHORTEST_KEY else body
        return token.sub(rb"\1[token]", shown)

    return cut


# A key outside ASCII fails as `UnicodeEncodeError` while the request is still being written down.
_UNWRITABLE = (httpx.UnsupportedProtocol, httpx.InvalidURL, UnicodeEncodeError)
_BEFORE = (httpx.ConnectError, httpx.ConnectTimeout, *_UNWRITABLE)
_AS_IT_IS = httpx.Auth()  # without it httpx takes credentials from the address
_HEADERS = "relay.headers"  # where a redirect's headers are kept
_REFUSAL_SECONDS = 5.0  # a refusal's body may take so long, and no longer
_FAILURES = (httpx.TransportError, httpx.DecodingError, TimeoutError, *_UNWRITABLE)


class Failure(StrEnum):
    """What went wrong on the wire."""

    REFUSED = "refused"
    NO_SUCH_HOST = "no_such_host"
    TLS = "tls"
    CONNECT_TIMEOUT = "connect_timeout"
    UNREACHABLE = "unreachable"
    BAD_REQUEST = "bad_request"  # our own request or address cannot be written
    TIMEOUT = "timeout"
    RESET = "reset"
    DROPPED = "dropped"
    UNREADABLE = "unreadable"
    OVERSIZED = "oversized"


class VendorError(Exception):
    """A vendor could not be asked, or its answer did not come back whole."""

    blame = "vendor"
    retryable = False

    def __init__(self, text: str, failure: Failure) -> None:
        super().__init__(text)
        self.failure = failure


class NotSent(VendorError):  # noqa: N818 - says what is known, not that it is bad
    """An error before anything of the request was written. Safe to send again."""

    retryable = True


class OutcomeUnknown(VendorError):  # noqa: N818 - the same
    """The request had begun to leave. The vendor may have accepted, and billed, it."""


class Exchange:
    """One request, one connection, one whole answer, or an error that says whether anything left.

    `timeout_seconds` spans everything from the name look-up to the answer's last byte; `connect_seconds` bounds
    the connection and the TLS handshake, each. Redirects are not followed: a key must not travel on. `cut` takes
    what is secret of ours out of each answer's body.
    """

    def __init__(
        self,
        *,
        timeout_seconds: float,
        connect_seconds: float = 5.0,
        max_body_bytes: int = 8 * 1024 * 1024,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Clock = system_clock,
        cut: Redactor = no_redaction,
    ) -> None:
        self._cut = cut
        self._timeout_seconds = timeout_seconds
        self._timeouts = {"connect": connect_seconds, "read": None, "write": None, "pool": None}
        self._max_body_bytes = max_body_bytes
        self._client = httpx.AsyncClient(
            transport=transport or OneShotTransport(),
            follow_redirects=False,
            trust_env=False,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            event_hooks={"response": [_keep_redirect_unread]},
        )
        self._clock = clock

    @property
    def timeout_seconds(self) -> float:
        """The longest time for one request, from the name look-up to the answer's last byte."""
        return self._timeout_seconds

    async def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        json: Mapping[str, object] | None = None,
        content: AsyncIterator[bytes] | bytes | None = None,
        params: Mapping[str, str] | None = None,
    ) -> Raw:
        """Return the vendor's whole answer. `params` join (and win over) those of the address.

        Raise `NotSent` or `OutcomeUnknown`.
        """
        progress = _Progress()
        failed: Exception
        try:
            request = httpx.Request(
                method,
                httpx.URL(url).copy_merge_params(dict(params)) if params else url,
                headers={"accept": "application/json", "accept-encoding": "identity", **(headers or {})},
                json=json,
                content=content,
                extensions={"trace": progress, "timeout": self._timeouts},
            )
            async with asyncio.timeout(self._timeout_seconds):
                return await self._talk(request)
        except (*_FAILURES, _OversizedError) as error:
            failed = error
        # Raised out here so that nothing hangs on to the transport's own error: h11 quotes a header value it
        # does not like, and that may be the key.
        raise _sorted(failed, progress, f"{method} {_origin_of(url)}")

    async def upload(
        self,
        url: str,
        *,
        field: str,
        file_name: str,
        media_type: str,
        length: int,
        content: AsyncIterator[bytes],
        headers: Mapping[str, str] | None = None,
    ) -> Raw:
        """Return the vendor's answer to a form with one file of exactly `length` bytes, streamed.

        The length is announced, because a vendor may refuse chunked bodies (RFC 7578, RFC 9112 §6.2). Raises as
        `send` does.
        """
        form = FileForm(field=field, file_name=file_name, media_type=media_type)
        body = form.body(content)
        try:
            return await self.send("POST", url, headers={**(headers or {}), **form.headers(length)}, content=body)
        finally:
            await body.aclose()
            if isinstance(content, AsyncGenerator):
                await content.aclose()

    async def aclose(self) -> None:
        """Close the client and all that it holds open."""
        await self._client.aclose()

    async def _talk(self, request: httpx.Request) -> Raw:
        # `send` adds nothing to a request that it did not build: no cookie, no `user-agent`, no `connection`.
        response = await self._client.send(request, stream=True, auth=_AS_IT_IS)
        body = bytearray()
        refused = response.status_code >= 400  # noqa: PLR2004 - RFC 9110 §15.5 and on
        try:
            async with asyncio.timeout(_REFUSAL_SECONDS if refused else None):
                await self._read(response, body)
        except (*_FAILURES, _OversizedError):
            if not refused:
                raise
            # The status has said what became of the request, and the rest was only to tell why.
        finally:
            await response.aclose()
        headers = response.extensions.get(_HEADERS, response.headers)
        return Raw(response.status_code, dict(headers), self._cut(bytes(body)), self._clock())

    async def _read(self, response: httpx.Response, body: bytearray) -> None:
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > self._max_body_bytes:
                del body[self._max_body_bytes :]
                raise _OversizedError


async def _keep_redirect_unread(response: httpx.Response) -> None:
    """Hide the address of a redirect: httpx reads it although it does not follow, and raises where it is invalid."""
    if "location" in response.headers:
        response.extensions[_HEADERS] = response.headers.copy()
        del response.headers["location"]


class _OversizedError(Exception):
    """The answer is longer than we are willing to hold."""


class _Progress:
    """Hears httpcore's trace and remembers how far the request came."""

    def __init__(self) -> None:
        self.heard = False
        self.handshaking = False
        self.begun = False

    async def __call__(self, event: str, info: Mapping[str, object]) -> None:
        step = event.partition(".")[2]
        self.heard = True
        if step.startswith("start_tls"):
            self.handshaking = not step.endswith("complete")
        elif step == "send_request_headers.started":
            self.begun = True
        elif step == "send_request_headers.failed":
            # h11 refused to write it, so nothing was written.
            self.begun = not isinstance(info.get("exception"), httpcore.LocalProtocolError)


_PLAIN: tuple[tuple[tuple[type[Exception], ...], Failure], ...] = (
    ((_OversizedError,), Failure.OVERSIZED),
    ((httpx.DecodingError,), Failure.UNREADABLE),
    ((httpx.LocalProtocolError, *_UNWRITABLE), Failure.BAD_REQUEST),
)


def _sorted(error: Exception, progress: _Progress, what: str) -> VendorError:
    """Return the error as ours. Only what the trace shows to be unsent is `NotSent`."""
    before = not progress.begun and (progress.heard or isinstance(error, _BEFORE))
    failure = _failure(error, progress, before=before)
    if before:
        return NotSent(f"{what}: not sent ({failure})", failure)
    return OutcomeUnknown(f"{what}: outcome unknown ({failure})", failure)


def _failure(error: Exception, progress: _Progress, *, before: bool) -> Failure:
    plain = next((failure for kinds, failure in _PLAIN if isinstance(error, kinds)), None)
    if plain is not None:
        return plain
    causes = tuple(_causes(error))
    return _failure_before(causes, progress) if before else _failure_after(causes)


def _failure_after(causes: tuple[BaseException, ...]) -> Failure:
    if any(isinstance(cause, ConnectionResetError | BrokenPipeError) for cause in causes):
        return Failure.RESET
    if any(isinstance(cause, TimeoutError | httpx.TimeoutException) for cause in causes):
        return Failure.TIMEOUT
    # h11 tells a peer that closed early from one that does not speak HTTP by words only.
    closed = isinstance(causes[0], httpx.ReadError) or "without sending" in str(causes[0])
    return Failure.DROPPED if closed else Failure.UNREADABLE


def _failure_before(causes: tuple[BaseException, ...], progress: _Progress) -> Failure:
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return Failure.NO_SUCH_HOST
    if any(isinstance(cause, TimeoutError | httpx.TimeoutException) for cause in causes):
        return Failure.CONNECT_TIMEOUT
    if progress.handshaking or any(isinstance(cause, ssl.SSLError) for cause in causes):
        return Failure.TLS
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return Failure.REFUSED
    return Failure.UNREACHABLE


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and everything that led to it, through groups too."""
    yield error
    if isinstance(error, BaseExceptionGroup):
        for member in error.exceptions:
            yield from _causes(member)
    earlier = error.__cause__ or error.__context__
    if earlier is not None:
        yield from _causes(earlier)


def _origin_of(url: str) -> str:
    """Return scheme and host only: a path may hold a job id, a query may hold anything."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        return "(unreadable address)"
    return f"{parsed.scheme}://{parsed.host}"
