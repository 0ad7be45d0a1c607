"""The download of a customer's `source.url`, through the outbound guard. Storing and probing live elsewhere.

Redirects are followed here and not by aiohttp, so that each hop's URL and address are judged again.
"""

import asyncio
import re
import unicodedata
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from urllib.parse import unquote

import aiohttp
from yarl import URL

from service.kit.http.guard import GuardPolicy
from service.kit.http.guarded import Blocked, CheckedUrl, RefusedUrl, blocked_by, check_url

_HEADERS = {"User-Agent": "VerdictRelay/1", "Accept": "*/*", "Accept-Encoding": "identity"}
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_WHOLE = frozenset({200, 203})  # a part that was not asked for (206) is none, nor is what is not ready yet (202)
_PASSING_TROUBLE = frozenset({202, 408, 429})
_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,63}/[a-z0-9!#$&^_.+-]{1,63}")  # RFC 6838 §4.2
_MAX_NAME_CHARACTERS = 255


class SourceUnreachable(Exception):  # noqa: N818 - the customer's word for it
    """The audio could not be had. `retryable` says whether later may be better.

    `detail` is the operator's to read. The customer is told nothing of it: a refused address has to look like
    any other unreachable one.
    """

    def __init__(self, *, retryable: bool, detail: str) -> None:
        super().__init__(detail)
        self.retryable = retryable
        self.detail = detail


class SourceTooLarge(Exception):  # noqa: N818 - its sibling
    """The audio is larger than `max_bytes`, by its declared or by its counted length."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"larger than {max_bytes} bytes")
        self.max_bytes = max_bytes


@dataclass(frozen=True, slots=True)
class Source:
    """An open download. Type and name are what a stranger claims; `chunks` can be read once."""

    url: str  # where the bytes come from, after redirects
    content_type: str | None  # lower case, without parameters
    file_name: str | None
    chunks: AsyncIterator[bytes]


@asynccontextmanager
async def open_source(
    session: aiohttp.ClientSession,
    url: str,
    policy: GuardPolicy,
    *,
    max_bytes: int,
    timeout_seconds: float,
    max_redirects: int = 5,
) -> AsyncIterator[Source]:
    """Open the answer at `url`, whose body is the whole file, and close it on leaving.

    `session` is a guarded one. Raises `SourceUnreachable` or `SourceTooLarge`, here or while `chunks` are read.
    `timeout_seconds` run from the call to the last byte; only waits for the network are cut short by them.
    """
    deadline = asyncio.get_running_loop().time() + timeout_seconds
    async with _answer(session, url, policy, deadline, max_redirects) as response:
        _check_answer(response, max_bytes)
        async with aclosing(_chunks(response, max_bytes, deadline)) as chunks:
            yield Source(
                url=str(response.url),
                content_type=_media_type(response),
                file_name=file_name(URL(url)) or file_name(response.url),
                chunks=chunks,
            )


def file_name(url: URL) -> str | None:
    """Return the path's last part as a harmless name of up to 255 characters, its ending kept; `None` if empty."""
    decoded = unquote(url.raw_name, errors="replace")
    seen = "".join(character for character in decoded if unicodedata.category(character)[0] != "C")
    name = re.sub(r"[/\\]", "_", seen).strip()[-_MAX_NAME_CHARACTERS:].strip()
    return name if name.strip(".") else None


@asynccontextmanager
async def _answer(
    session: aiohttp.ClientSession, url: str, policy: GuardPolicy, deadline: float, max_redirects: int
) -> AsyncIterator[aiohttp.ClientResponse]:
    """Return the first answer that is not a redirect."""
    for _ in range(max_redirects + 1):
        with _network_trouble():
            checked = check_url(url, policy)
            async with asyncio.timeout_at(deadline):
                response = await _get(session, checked)
        try:
            if response.status not in _REDIRECTS:
                yield response
                return
            url = _next_hop(response)
        finally:
            response.close()
    raise SourceUnreachable(retryable=False, detail=f"more than {max_redirects} redirects")


async def _get(session: aiohttp.ClientSession, checked: CheckedUrl) -> aiohttp.ClientResponse:
    return await session.get(
        checked.url,
        headers=_HEADERS,
        allow_redirects=False,
        # Our deadline spans all hops, so the session's own total does not apply.
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=session.timeout.sock_connect),
    )


def _next_hop(response: aiohttp.ClientResponse) -> str:
    try:
        return str(response.url.join(URL(response.headers["Location"])))
    except (KeyError, ValueError) as error:
        raise SourceUnreachable(retryable=False, detail="a redirect that leads nowhere") from error


def _check_answer(response: aiohttp.ClientResponse, max_bytes: int) -> None:
    status = response.status
    if status not in _WHOLE:
        passing = status >= 500 or status in _PASSING_TROUBLE  # noqa: PLR2004 - RFC 9110 §15.6
        raise SourceUnreachable(retryable=passing, detail=f"answered with status {status}")
    if response.headers.get("Content-Encoding", "").strip().lower() not in ("", "identity"):
        raise SourceUnreachable(retryable=False, detail="sent compressed, which was not asked for")
    if (response.content_length or 0) > max_bytes:
        raise SourceTooLarge(max_bytes)


async def _chunks(response: aiohttp.ClientResponse, max_bytes: int, deadline: float) -> AsyncGenerator[bytes, None]:
    count = 0
    while True:
        with _network_trouble():
            async with asyncio.timeout_at(deadline):
                chunk = await response.content.readany()
        if not chunk:
            return
        count += len(chunk)
        if count > max_bytes:
            raise SourceTooLarge(max_bytes)
        yield chunk


@contextmanager
def _network_trouble() -> Iterator[None]:
    """Raise what goes wrong inside as `SourceUnreachable`."""
    try:
        yield
    except TimeoutError as error:
        raise SourceUnreachable(retryable=True, detail="took too long") from error
    except (aiohttp.ClientError, OSError) as error:
        refused = blocked_by(error) is not None or isinstance(error, aiohttp.InvalidURL)
        raise SourceUnreachable(retryable=not refused, detail=_told(error)) from error


def _told(error: Exception) -> str:
    """Describe what happened, without the URL: its query may be a signature."""
    refusal = blocked_by(error)
    if isinstance(refusal, Blocked):
        return f"the guard refused {refusal.address}: {refusal.reason}"
    if isinstance(refusal, RefusedUrl):
        return f"the URL {refusal.reason}"
    about_address = isinstance(error, aiohttp.ClientConnectorError)
    return f"{type(error).__name__}: {error}" if about_address else type(error).__name__


def _media_type(response: aiohttp.ClientResponse) -> str | None:
    claimed = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return claimed if _MEDIA_TYPE.fullmatch(claimed) else None
