"""One WebSocket: audio goes up as it is read, messages come down and are passed on, and it is known what left.

The key is part of the address, because the vendor takes it nowhere else. So no error of the library comes out of
here: some carry the address. What the messages mean is in `messages` and `refusals`.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import aiohttp
import structlog
from yarl import URL

from service.detectors.exchange import Failure, NotSent, OutcomeUnknown, VendorError
from service.kit.http.guarded import read_at_most
from service.vendors.modulate.messages import ends
from service.vendors.modulate.refusals import ABNORMAL, NO_STATUS, is_refusal

_OPEN = 101
_HTTP_GOOD = range(200, 300)
_GOODBYE_SECONDS = 3.0  # from `done` to the vendor's close
_CLOSE_SECONDS = 1.0
_MOST_BYTES = 8 * 1024 * 1024
_MOST_MESSAGE_BYTES = 1024 * 1024
_REFUSAL_BYTES = 64 * 1024
_TELLING_HEADERS = ("content-type", "retry-after")
_LOST = (aiohttp.ClientError, OSError, TimeoutError, ValueError)  # aiohttp finds some addresses invalid by the last
_FAILURES: tuple[tuple[tuple[type[Exception], ...], Failure], ...] = (
    ((aiohttp.ClientConnectorDNSError,), Failure.NO_SUCH_HOST),
    ((aiohttp.ClientSSLError,), Failure.TLS),
    ((aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError, ValueError), Failure.BAD_REQUEST),
    ((aiohttp.WSServerHandshakeError, aiohttp.ClientPayloadError), Failure.UNREADABLE),
    ((ConnectionResetError, BrokenPipeError), Failure.RESET),
    ((aiohttp.ServerDisconnectedError,), Failure.DROPPED),
    ((Exception,), Failure.UNREACHABLE),
)
PassOn = Callable[[list[bytes], int], Awaitable[None]]
"""Called with messages, and the number in the stream of the first of them."""
_GRACE_SECONDS = 2.0
_APART_SECONDS = 1.0


@dataclass
class StreamAnswer:
    """What came: messages as lines and the close code, or the HTTP answer to the handshake."""

    status: int = ABNORMAL
    lines: list[bytes] = field(default_factory=list)
    headers: Mapping[str, str] | None = None  # of the handshake, where it was refused


@dataclass
class _Progress:
    """The progress of a stream."""

    answer: StreamAnswer = field(default_factory=StreamAnswer)
    begun: bool = False  # some of the audio may have left
    complete: bool = False  # the vendor has said its last word
    oversized: bool = False
    own_fault: BaseException | None = None  # the audio could not be read


class _Declined(Exception):  # noqa: N818 - says what the peer did
    """The handshake was answered, but not with a WebSocket."""

    def __init__(self, answer: StreamAnswer) -> None:
        super().__init__(f"HTTP {answer.status}")
        self.answer = answer


async def converse(
    address: URL,
    audio: AsyncIterator[bytes],
    heard: Callable[[bytes], None],
    *,
    timeout_seconds: float,
    connect_seconds: float,
) -> StreamAnswer:
    """Return the vendor's whole answer to `audio`. `heard` gets each message as it comes, and must not block.

    `timeout_seconds` spans everything. Raise `NotSent` if nothing of the audio left, `OutcomeUnknown` if some did
    and neither a last message nor a telling close code came.
    """
    progress = _Progress()
    failed: Exception | None = None
    try:
        async with asyncio.timeout(timeout_seconds):
            await _talk(address, audio, heard, progress, connect_seconds)
    except _Declined as declined:
        progress.answer = declined.answer
    except _LOST as error:
        failed = error
    finally:
        if isinstance(audio, AsyncGenerator):
            await audio.aclose()
    if _is_whole(progress):
        return progress.answer
    if progress.own_fault is not None:
        raise progress.own_fault
    # Raised out here so that nothing hangs on to the library's own error.
    raise _sorted(failed, progress, f"WebSocket {address.scheme}://{address.host}")


async def _talk(
    address: URL,
    audio: AsyncIterator[bytes],
    heard: Callable[[bytes], None],
    progress: _Progress,
    connect_seconds: float,
) -> None:
    session = aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_seconds),
        cookie_jar=aiohttp.DummyCookieJar(),
        middlewares=[_only_websockets],
    )
    closing = aiohttp.ClientWSTimeout(ws_close=_CLOSE_SECONDS)
    async with (
        session,
        session.ws_connect(address, timeout=closing, max_msg_size=_MOST_MESSAGE_BYTES) as socket,
    ):
        receiving = asyncio.create_task(_receive(socket, heard, progress))
        sending = asyncio.create_task(_send(socket, audio, progress))
        try:
            await asyncio.wait({receiving, sending}, return_when=asyncio.FIRST_COMPLETED)
            if progress.own_fault is None:
                await receiving
        finally:
            receiving.cancel()
            sending.cancel()
            await asyncio.gather(receiving, sending, return_exceptions=True)


async def _only_websockets(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Yield the open connection. Raise `_Declined` for any other answer, before a redirect could be followed."""
    response = await send(request)
    if response.status == _OPEN:
        return response
    async with response:
        body = await read_at_most(response, _REFUSAL_BYTES)
    # No other header says anything here, and a redirect's address could repeat ours.
    headers = {name: response.headers[name] for name in _TELLING_HEADERS if name in response.headers}
    raise _Declined(StreamAnswer(response.status, [body], headers))


async def _send(socket: aiohttp.ClientWebSocketResponse, audio: AsyncIterator[bytes], progress: _Progress) -> None:
    """Send all of the audio, and the empty text that ends it, unless the connection is gone, as the receiver sees."""
    try:
        async for chunk in audio:
            progress.begun = True
            if not await _sent(socket.send_bytes(chunk)):
                return
    except Exception as error:  # noqa: BLE001 - whatever it is, it is not the vendor's
        progress.own_fault = error
        return
    await _sent(socket.send_str(""))


async def _sent(frame: Awaitable[None]) -> bool:
    try:
        await frame
    except (aiohttp.ClientError, ConnectionError):
        return False
    return True


async def _receive(
    socket: aiohttp.ClientWebSocketResponse, heard: Callable[[bytes], None], progress: _Progress
) -> None:
    """Receive every message until the connection closes, or until a moment after the last one."""
    answer, left = progress.answer, _MOST_BYTES
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(None) as patience:
            while (line := await _message(socket, answer)) is not None:
                left -= len(line)
                if left < 0:
                    progress.oversized = True
                    return
                answer.lines.append(line)
                heard(line)
                if not progress.complete and ends(line):
                    progress.complete = True
                    patience.reschedule(asyncio.get_running_loop().time() + _GOODBYE_SECONDS)


async def _message(socket: aiohttp.ClientWebSocketResponse, answer: StreamAnswer) -> bytes | None:
    """Return the next message on one line, or `None` at the end, whose code is kept.

    A line break within JSON is white space (RFC 8259 §2). aiohttp's own record of the code calls a connection that
    just went away 1000, so only a close frame counts.
    """
    message = await socket.receive()
    if message.type is aiohttp.WSMsgType.TEXT:
        return b" ".join(message.data.encode().splitlines())
    if message.type is aiohttp.WSMsgType.BINARY:
        return b" ".join(bytes(message.data).splitlines())
    if message.type is aiohttp.WSMsgType.CLOSE:
        answer.status = message.data or NO_STATUS
    return None


def _is_whole(progress: _Progress) -> bool:
    answer = progress.answer
    if answer.headers is not None:
        return answer.status not in _HTTP_GOOD  # that would be no WebSocket, and no refusal either
    return progress.complete or is_refusal(answer.status)


def _sorted(error: Exception | None, progress: _Progress, what: str) -> VendorError:
    failure = _failure(error, progress)
    if not progress.begun:
        return NotSent(f"{what}: not sent ({failure})", failure)
    return OutcomeUnknown(f"{what}: outcome unknown ({failure})", failure)


def _failure(error: Exception | None, progress: _Progress) -> Failure:
    if progress.oversized:
        return Failure.OVERSIZED
    if error is None:
        return Failure.UNREADABLE if progress.answer.headers is not None else Failure.DROPPED
    if isinstance(error, TimeoutError):
        return Failure.TIMEOUT if progress.begun else Failure.CONNECT_TIMEOUT
    if isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, ConnectionRefusedError):
        return Failure.REFUSED
    return next(failure for kinds, failure in _FAILURES if isinstance(error, kinds))


log = structlog.get_logger()


class PartialResults:
    """What passes messages on in order while its block runs. At the end the rest has a moment, unless cancelled."""

    def __init__(self, pass_on: PassOn | None, run_id: str) -> None:
        self._pass_on = pass_on
        self._run_id = run_id
        self._new: list[bytes] = []
        self._passed_on = 0
        self._over = asyncio.Event()
        self._stirred = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def add(self, line: bytes) -> None:
        """Pass the message on later, with others if there are more. Return at once."""
        self._new.append(line)
        self._stirred.set()

    async def __aenter__(self) -> Self:
        if self._pass_on is not None:
            self._task = asyncio.create_task(self._run(self._pass_on))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is None:
            return
        self._over.set()
        self._stirred.set()
        try:
            if error is None or isinstance(error, Exception):
                await asyncio.wait({self._task}, timeout=_GRACE_SECONDS)
        finally:
            self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self, pass_on: PassOn) -> None:
        while self._new or not self._over.is_set():
            await self._stirred.wait()
            self._stirred.clear()
            lines, self._new = self._new, []
            if lines:
                await self._try(pass_on, lines)
                await self._rest()
            self._passed_on += len(lines)
            if self._over.is_set() or self._new:
                self._stirred.set()

    async def _rest(self) -> None:
        """Wait a moment, or until the stream is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_APART_SECONDS):
                await self._over.wait()

    async def _try(self, pass_on: PassOn, lines: list[bytes]) -> None:
        try:
            await pass_on(lines, self._passed_on)
        except Exception as error:  # noqa: BLE001 - whatever happens to the receiver, the stream goes on
            log.warning("run.telling_failed", run_id=self._run_id, reason=type(error).__name__)
