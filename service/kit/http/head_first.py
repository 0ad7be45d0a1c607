"""Answers whose head is read first: it is neither lost to what follows it nor delayed by it.

aiohttp hands bytes to its parser as they come. Where a broken body comes in one piece with the head, the parser
raises, and the head it has just read is lost.
"""

import asyncio
import re
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler

# An empty line ends a head. It may be the first line of a piece: what came before may have ended in a line's end.
_EMPTY_LINE = re.compile(rb"(?:\A|(?<=\n))\r?\n")
_MOST_PIECES = 16  # a few interim heads may come first; a flood of empty lines must not split without end
_SWITCHING_PROTOCOLS = 101


def speak_head_first(connector: aiohttp.BaseConnector) -> None:
    """Make each connection that `connector` opens from now on a `HeadFirst`."""
    kind = cast("type[ResponseHandler]", HeadFirst)
    connector._factory = partial(kind, loop=asyncio.get_running_loop())  # noqa: SLF001 - aiohttp has no door for it


class HeadFirst(ResponseHandler):
    """A connection whose parser gets the head of an answer before it gets any of the body."""

    _head_is_read = False

    def set_response_params(self, **how: Any) -> None:
        """Begin to read the answer to a request."""
        self._head_is_read = False
        super().set_response_params(**how)

    def feed_data(self, data: Any, size: int = 0) -> None:
        """Take a head that the parser has read."""
        status = data[0].code
        self._head_is_read = status >= 200 or status == _SWITCHING_PROTOCOLS  # noqa: PLR2004 - RFC 9110 §15.2
        super().feed_data(data, size)

    def data_received(self, data: bytes) -> None:
        """Take bytes from the socket."""
        if self._head_is_read or not data:
            super().data_received(data)
            return
        for piece in _pieces(data):
            if self.exception() is not None:
                return  # the parser has failed, and must not be asked again
            super().data_received(piece)


def _pieces(data: bytes) -> Iterable[bytes]:
    """Split `data` behind each empty line."""
    if data.find(b"\n\r\n") == len(data) - 3 and b"\n\n" not in data and not data.startswith((b"\r\n", b"\n")):
        return (data,)  # a head and no more, as most come
    return _cut(data)


def _cut(data: bytes) -> Iterator[bytes]:
    begin = 0
    for count, found in enumerate(_EMPTY_LINE.finditer(data)):
        if count == _MOST_PIECES:
            break
        yield data[begin : found.end()]
        begin = found.end()
    if begin < len(data):
        yield data[begin:]


async def start_of_body(response: aiohttp.ClientResponse, max_bytes: int, patience_seconds: float) -> bytes:
    """Return what comes of the body within `patience_seconds`, at most `max_bytes`. Never raises.

    A body that breaks off, or never ends, is kept as far as it came. A task that is cancelled meanwhile ends the
    reading and goes on: the head has been read, and what it said has to be written down.
    """
    content = response.content
    if content.is_eof() and content.exception() is None:
        return content.read_nowait(max_bytes)  # it came with the head, as most do: there is nothing to wait for
    body = bytearray()
    try:
        async with asyncio.timeout(patience_seconds):
            while len(body) < max_bytes and (chunk := await response.content.read(max_bytes - len(body))):
                body += chunk
    except asyncio.CancelledError:
        if task := asyncio.current_task():
            task.uncancel()
    except Exception:  # noqa: BLE001 - a stranger's bytes may end in any way, and none of them undoes the head
        body += _left_behind(response.content)[: max_bytes - len(body)]
    return bytes(body)


def _left_behind(content: aiohttp.StreamReader) -> bytes:
    """Return the bytes that had come when the body broke. aiohttp gives an error first, and then none of them."""
    content._exception = None  # noqa: SLF001 - they cannot be reached otherwise
    try:
        return content.read_nowait()
    except Exception:  # noqa: BLE001
        return b""
