"""An httpx transport that opens one connection for each request and closes it with the answer.

A fresh connection keeps one question decidable: has any byte of the request left? A pooled connection may die
under a request that it has already begun to carry. httpx's own pool also grows slow under load and can wedge
when requests are cancelled. What a vendor's errors mean lives in `detectors/exchange`, not here.
"""

import ssl
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from functools import cache

import httpcore
import httpx


@cache
def _usual_context() -> ssl.SSLContext:
    """Return how connections are secured, once for all transports: each would keep a megabyte of authorities."""
    return httpx.create_ssl_context()


class OneShotTransport(httpx.AsyncBaseTransport):
    """Every request has its own socket, and the socket is gone once the answer is closed or has failed.

    HTTP/1.1 only; no proxies, no retries, no redirects. Errors are httpx's `TransportError` family.
    """

    def __init__(self, *, ssl_context: ssl.SSLContext | None = None) -> None:
        self._ssl_context = ssl_context or _usual_context()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the answer's head, with the body still to be read. Closing the response closes the socket."""
        outgoing = _outgoing(request)
        sockets = _Sockets()
        connection = httpcore.AsyncHTTPConnection(
            outgoing.url.origin, ssl_context=self._ssl_context, network_backend=sockets
        )
        try:
            with _httpx_errors():
                answer = await connection.handle_async_request(outgoing)
        except BaseException:
            await sockets.aclose()
            raise
        return httpx.Response(
            answer.status,
            headers=answer.headers,
            stream=_Body(answer, sockets),
            extensions=dict(answer.extensions),
        )


class _Sockets(httpcore.AsyncNetworkBackend):
    """Remembers what it opened: httpcore forgets a socket whose TLS handshake was cancelled."""

    def __init__(self) -> None:
        self._backend = httpcore.AnyIOBackend()
        self._open: list[httpcore.AsyncNetworkStream] = []

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        stream = await self._backend.connect_tcp(
            host, port, timeout=timeout, local_address=local_address, socket_options=socket_options
        )
        self._open.append(stream)
        return stream

    async def aclose(self) -> None:
        """Close every socket opened here; the first step of each close does not wait."""
        while self._open:
            await self._open.pop().aclose()


class _Body(httpx.AsyncByteStream):
    """The answer's body; closing it closes the connection."""

    def __init__(self, answer: httpcore.Response, sockets: _Sockets) -> None:
        self._answer = answer
        self._sockets = sockets

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _httpx_errors():
            async for chunk in self._answer.aiter_stream():
                yield chunk

    async def aclose(self) -> None:
        try:
            await self._answer.aclose()
        finally:
            await self._sockets.aclose()


def _outgoing(request: httpx.Request) -> httpcore.Request:
    url = request.url
    if url.scheme not in ("http", "https") or not url.host:
        raise httpx.UnsupportedProtocol("only http:// and https:// addresses with a host can be asked")
    return httpcore.Request(
        method=request.method,
        url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
        headers=request.headers.raw,
        content=request.stream,
        extensions=request.extensions,
    )


@contextmanager
def _httpx_errors() -> Iterator[None]:
    """Raise httpcore's errors as httpx's of the same name, inside."""
    try:
        yield
    except ssl.SSLError as error:
        # A broken record in the middle of a connection is the one TLS error httpcore does not wrap.
        raise httpx.ReadError(str(error)) from error
    except Exception as error:
        same_name = getattr(httpx, type(error).__name__, None)
        # h11's own error comes through where a body and its announced length differ.
        if not type(error).__module__.startswith(("httpcore", "h11")) or same_name is None:
            raise
        raise same_name(str(error)) from error
