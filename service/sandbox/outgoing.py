"""What the twins send: callbacks, when they are due and how often they are tried, and downloads of recordings.

Callbacks live in this process only. If it dies they are lost, as in life, and polling is the way. What they say is the
twins' business.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import aiohttp

from service.kit.clock import Clock
from service.kit.http.resolver import NameResolver

_POST_TIMEOUT: Final = aiohttp.ClientTimeout(total=10)
_CHUNK_BYTES: Final = 64 * 1024
_OK: Final = range(200, 300)
_REFUSED: Final = range(400, 500)


class Outgoing:
    """Posts callbacks and downloads recordings. Belongs to the event loop that used it first."""

    def __init__(self) -> None:
        self._sessions: dict[str, aiohttp.ClientSession] = {}
        self._closed = False

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, str, bytes] | None:
        """Return the answer's status, media type and first 64 KiB; None if no answer came within 10 seconds."""
        sent = {"Content-Type": "application/json", **headers}
        try:
            async with self._client("callbacks").post(
                url,
                data=body,
                headers=sent,
                allow_redirects=False,
                timeout=_POST_TIMEOUT,
            ) as answer:
                return answer.status, answer.content_type, await answer.content.read(_CHUNK_BYTES)
        except (aiohttp.ClientError, OSError, ValueError):
            return None

    async def fetch(self, url: str, *, max_bytes: int, timeout_seconds: float) -> str:
        """Read and forget what is at `url`; return what went wrong, or an empty string.

        Only a 200 counts, and redirects are not followed.
        """
        timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        try:
            async with self._client("recordings").get(url, allow_redirects=False, timeout=timeout) as answer:
                if answer.status != 200:  # noqa: PLR2004 - HTTP's own number
                    return "download_failed"
                return await _read_out(answer.content, max_bytes)
        except (aiohttp.ClientError, OSError, ValueError):
            return "download_failed"

    async def aclose(self) -> None:
        """Close the client; later requests fail at once."""
        self._closed = True
        for session in self._sessions.values():
            await session.close()

    def _client(self, purpose: str) -> aiohttp.ClientSession:
        if self._closed:
            raise ConnectionError("the sandbox is closed")
        if purpose not in self._sessions:
            # A recording's address may be a customer's: its name must not hold up the look-ups of others.
            connector = aiohttp.TCPConnector(resolver=NameResolver()) if purpose == "recordings" else None
            self._sessions[purpose] = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        return self._sessions[purpose]


async def _read_out(content: aiohttp.StreamReader, max_bytes: int) -> str:
    size = 0
    async for chunk in content.iter_chunked(_CHUNK_BYTES):
        size += len(chunk)
        if size > max_bytes:
            return "file_too_large"
    return "" if size else "empty_file"


@dataclass(frozen=True)
class PlannedCallback:
    """One request to a client's address."""

    url: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


Write = Callable[[], Sequence[PlannedCallback]]
"""What there is to send, asked for when it falls due."""


class Callbacks:
    """The callbacks this process still owes."""

    def __init__(self, outgoing: Outgoing, clock: Clock, retry_seconds: float) -> None:
        self._outgoing = outgoing
        self._clock = clock
        self._retry_seconds = retry_seconds
        self._tasks: set[asyncio.Task[None]] = set()

    def plan(self, due_at: datetime, write: Write, *, tries: int = 1) -> asyncio.Task[None]:
        """Plan to send what `write` returns at `due_at`, one callback after the other, with so many tries each."""
        task = asyncio.create_task(self._carry(due_at, write, tries))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def aclose(self) -> None:
        """Drop all callbacks that are still planned."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _carry(self, due_at: datetime, write: Write, tries: int) -> None:
        # The loop's timer may fire a little before the clock gets there; a poll must not contradict a callback.
        while (wait := (due_at - self._clock()).total_seconds()) > 0:  # noqa: ASYNC110 - only time passes here
            await asyncio.sleep(wait)
        for callback in write():
            await self._try(callback, tries)

    async def _try(self, callback: PlannedCallback, tries: int) -> None:
        for left in reversed(range(tries)):
            answer = await self._outgoing.post(callback.url, callback.body, callback.headers)
            settled = answer is not None and (answer[0] in _OK or answer[0] in _REFUSED)
            if settled or not left:
                return
            await asyncio.sleep(self._retry_seconds)
