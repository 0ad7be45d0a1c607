"""The twins' way out: an HTTP client for callbacks and one for recordings, opened on first use and closed once."""

from collections.abc import Mapping
from typing import Final

import aiohttp

from service.kit.http.resolver import NameResolver

_POST_TIMEOUT: Final = aiohttp.ClientTimeout(total=10)
_CHUNK_BYTES: Final = 64 * 1024


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
