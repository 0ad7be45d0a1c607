"""The HTTP parser, chosen on purpose: httptools, as quick as uvicorn's own, held to RFC 9110, RFC 9112 and limits.

The limits are of size, number and time, for a connection before it has proved to be a caller of ours. What is added to
uvicorn's protocol: an offer of a protocol that we do not speak changes nothing (RFC 9110 §7.8); hosts, targets,
versions and codings are judged; trailers are no headers; and a head has a size. What is refused is answered in our own
words, after the answers before it.
"""

import asyncio
import re
import resource
from collections.abc import Sized
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, ClassVar, Final

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.cli.http import problems
from service.cli.http.problems import Refusal

_MOST_CONNECTIONS: Final = 1_000
_MOST_AT_ONCE: Final = 128
_FEWEST: Final = 16
_ABSOLUTE: Final = re.compile(rb"https?://[^/?#@]+(/[^?#]*)?(\?[^#]*)?", re.IGNORECASE)
_ORIGIN: Final = re.compile(rb"/[^#]*")
_HOST: Final = re.compile(rb"[^\x00-\x20/?#@\\,\x7f-\xff]*")
_REQUEST_LINE: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+ \S+ HTTP/[0-9]")
_OFFER: Final = frozenset({b"upgrade", b"http2-settings"})


def _share_of_files(divisor: int, most: int) -> int:
    may_open, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return most if may_open == resource.RLIM_INFINITY else max(_FEWEST, min(most, may_open // divisor))


def most_connections() -> int:
    """Return half of the files this process may open: the database, vendors and receivers take the other half."""
    return _share_of_files(2, _MOST_CONNECTIONS)


def most_at_once() -> int:
    """Return how many connections asyncio may let in at once: several times as many, before one can be dropped."""
    return _share_of_files(16, _MOST_AT_ONCE)


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """The bounds of one process. The times are in seconds."""

    target_bytes: int = 16_384  # RFC 9112 §3 wants 8,000 at least
    head_bytes: int = 32_768  # the target and all header lines, together
    headers: int = 100
    pipelined: int = 16  # requests that wait behind the one being answered
    head_seconds: float = 10
    body_seconds: float = 20  # and another second for each `body_bytes_per_second` that came
    body_bytes_per_second: int = 8_192
    linger_seconds: float = 5  # the rest of a body that was answered already
    write_seconds: float = 30  # the caller takes nothing of an answer
    crowded_seconds: float = 1  # an idle connection keeps its place against a new one
    tick_seconds: float = 0.5  # how often a connection looks at its clock
    connections: int = field(default_factory=most_connections)
    at_once: int = field(default_factory=most_at_once)
    backlog: int = 2_048  # wait in the kernel to be let in

    @property
    def reserve(self) -> int:
        """The number of further connections accepted for the health routes alone."""
        return max(8, self.connections // 8)


class Awaited(Enum):
    """What the caller owes next."""

    HEAD = "head"
    BODY = "body"
    NOTHING = "nothing"


class _RefusedError(Exception):
    """Raised inside the parser, which then stops."""

    def __init__(self, refusal: Refusal) -> None:
        self.refusal = refusal


class _Flow(FlowControl):
    """Reads on only when no request waits for its turn: the one being answered has its whole body then."""

    def __init__(self, transport: asyncio.Transport, waiting: Sized) -> None:
        super().__init__(transport)
        self._waiting = waiting

    def resume_reading(self) -> None:
        """Read on, unless a request waits."""
        if not self._waiting:
            super().resume_reading()


class ParsingProtocol(HttpToolsProtocol):
    """What one connection says, and which of it is refused."""

    limits: ClassVar[HttpLimits] = HttpLimits()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._parse_anew()
        self.awaited = Awaited.HEAD
        self.since = self.loop.time()  # when the head was first awaited, or the last answer ended
        self.begun = 0  # messages
        self.body_bytes = 0
        self.ending = False  # after the answers that are under way; nothing more is parsed
        self._head_bytes = self._raw_bytes = self._headers_seen = 0

    def _parse_anew(self) -> None:
        """Start with a new parser. Any 1.x is spoken to as 1.1 (RFC 9110 §2.5); what follows a `close` is ignored."""
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True, lenient_version=True)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin."""
        super().connection_made(transport)
        self.flow = _Flow(transport, self.pipeline)

    @property
    def answering(self) -> bool:
        """Return True if a request is not answered yet."""
        return bool(self.cycle) and not self.cycle.response_complete

    def data_received(self, data: bytes) -> None:
        """Parse what came, unless all is said."""
        self._unset_keepalive_if_required()
        if self.ending or self.transport.is_closing():
            return
        begun = self.begun
        if self.awaited is Awaited.NOTHING:
            self._await_head()
        self._feed(data)
        if self.awaited is Awaited.HEAD and begun == self.begun:
            self._raw_bytes += len(data)  # the parser tells of a header only when it has ended
            if self._raw_bytes > self.limits.head_bytes:
                self.refuse(problems.LARGE_HEAD)

    def on_message_begin(self) -> None:
        """Start counting: the head may be a second one in what came. Too many that wait are refused."""
        super().on_message_begin()
        self.begun += 1
        self._await_head()
        if len(self.pipeline) >= self.limits.pipelined:
            raise _RefusedError(problems.PIPELINED)

    def on_url(self, url: bytes) -> None:
        """Take a part of the target."""
        super().on_url(url)
        self._head_bytes += len(url)
        if len(self.url) > self.limits.target_bytes:
            raise _RefusedError(problems.LONG_TARGET)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header. A trailer is counted and dropped: nothing of ours asks for one (RFC 9110 §6.5.1)."""
        self._head_bytes += len(name) + len(value) + 4
        self._headers_seen += 1
        if self._head_bytes > self.limits.head_bytes or self._headers_seen > self.limits.headers:
            raise _RefusedError(problems.LARGE_HEAD)
        if self.awaited is Awaited.HEAD:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Judge the head, and give the request to the application."""
        self._judge()
        if not self.parser.should_upgrade():  # else the parser stops here, and `_feed` knows how it goes on
            self.awaited, self.body_bytes = Awaited.BODY, 0
            self.give_to_application()

    def give_to_application(self) -> None:
        """Give the request to the application."""
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self.body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note the end of the request. A body behind an upgrade offer goes to a new parser, which ignores the offer."""
        if not self.parser.should_upgrade():
            self.awaited = Awaited.NOTHING
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """Close after the last answer where a later request was refused; else go on."""
        self.since, last = self.loop.time(), not self.pipeline
        super().on_response_complete()
        self.flow.resume_reading()  # the last one that waited has its turn, and more of its body may come
        if self.ending and last:
            self.transport.close()

    def refuse(self, refusal: Refusal) -> None:
        """Answer in the application's stead and hang up. Answers to earlier requests are not cut off."""
        self.ending = True
        if self.answering and self.awaited is Awaited.HEAD:
            return
        if self.answering and self.pipeline:
            self.pipeline.popleft()  # the newest, whose body is broken
            return
        if self.answering:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if not self.answering or not self.cycle.response_started:
            self.transport.write(refusal.as_bytes(self.server_state.default_headers))
        self.transport.close()

    def partial_head(self) -> bool:
        """Return True if some of a head has come."""
        return self.awaited is Awaited.HEAD and self._head_bytes + self._raw_bytes > 0

    def _await_head(self) -> None:
        self.awaited = Awaited.HEAD
        self.since = self.loop.time()
        self._head_bytes = self._raw_bytes = self._headers_seen = 0

    def _feed(self, data: bytes) -> None:
        while data:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as offer:
                if self._should_upgrade():
                    self.handle_websocket_upgrade()
                    return
                data = self._head_without_offer() + data[offer.args[0] :]
                self._parse_anew()
            except httptools.HttpParserError as error:
                self.refuse(_why(error, data))
                return
            else:
                return

    def _should_upgrade(self) -> bool:
        """Return True if what is offered is a WebSocket, and the offer is whole (RFC 6455 §4.1)."""
        given = dict(self.headers)
        is_websocket = given.get(b"upgrade", b"").lower() == b"websocket" and b"sec-websocket-key" in given
        return is_websocket and self.parser.get_method() == b"GET" and super()._should_upgrade()

    def _head_without_offer(self) -> bytes:
        """Return the head that was parsed, as the caller would have sent it without the offer."""
        lines = [b" ".join([self.parser.get_method(), self.url, f"HTTP/{self.parser.get_http_version()}".encode()])]
        for name, value in self.headers:
            kept = value
            if name == b"connection":
                kept = b", ".join(each for each in value.split(b",") if each.strip().lower() not in _OFFER)
            if kept and name not in _OFFER:
                lines.append(name + b": " + kept)
        return b"\r\n".join([*lines, b"", b""])

    def _judge(self) -> None:
        """Bring the target to its usual form. Raise where RFC 9112 wants the request refused."""
        method, version = self.parser.get_method(), self.parser.get_http_version()
        if not version.startswith("1."):
            raise _RefusedError(problems.OTHER_VERSION)
        hosts, codings = [], []
        for name, value in self.headers:
            if name == b"host":
                hosts.append(value)
            elif name == b"transfer-encoding":
                codings.append(value.strip().lower())
        if len(hosts) > 1 or (not hosts and version != "1.0") or not all(map(_HOST.fullmatch, hosts)):
            raise _RefusedError(problems.NO_HOST)
        if method == b"CONNECT":
            raise _RefusedError(problems.UNKNOWN_METHOD)
        if (method, self.url) != (b"OPTIONS", b"*"):
            self.url = _usual(self.url)
        if codings:
            _judge_codings(codings, version)


def _judge_codings(codings: list[bytes], version: str) -> None:
    """Raise where the transfer codings are not ours, or the version has none."""
    if version == "1.0":
        raise _RefusedError(problems.BAD_CODING)
    if codings != [b"chunked"]:
        raise _RefusedError(problems.UNKNOWN_CODING)


def _usual(target: bytes) -> bytes:
    """Return the target as path and query, also of an absolute one (RFC 9112 §3.2.2). Raise for any other."""
    if absolute := _ABSOLUTE.fullmatch(target):
        return (absolute[1] or b"/") + (absolute[2] or b"")
    if not _ORIGIN.fullmatch(target):
        raise _RefusedError(problems.BAD_TARGET)
    return target


def _why(error: httptools.HttpParserError, data: bytes) -> Refusal:
    """Return what to answer: the reason raised in the parser, if it was ours."""
    if isinstance(error.__context__, _RefusedError):
        return error.__context__.refusal
    if isinstance(error, httptools.HttpParserInvalidMethodError) and _REQUEST_LINE.match(data.lstrip(b"\r\n")):
        return problems.UNKNOWN_METHOD
    return problems.MALFORMED
