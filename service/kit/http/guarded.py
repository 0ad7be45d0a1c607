"""Requests to addresses that customers chose: which URL is sane, and a session that dials vetted addresses only.

The verdict on an address lives in `guard`. A literal address is judged twice, in the URL and when dialled; a
name only when dialled. yarl reads the URL here because yarl reads it for aiohttp: one parser, the one that dials.
Addresses of vendors, which the operator sets, do not pass here.
"""

import errno
import re
import socket
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from types import SimpleNamespace

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from service.kit.http.guard import Address, GuardPolicy, refusal
from service.kit.http.head_first import speak_head_first
from service.kit.http.resolver import NameResolver
from service.kit.http.steps import DIALLED, LOOKED_UP, LOOKING_UP, ReportingConnector, report, tls_context

MAX_URL_CHARACTERS = 2048
_KNOWN_URLS = 2_000
_MAX_NAME_CHARACTERS = 253  # RFC 1035 §2.3.4, less the length bytes
_WELL_KNOWN_PORTS = frozenset({80, 443})
_FIRST_FREE_PORT = 1024
_UNSEEN = frozenset({"Cc", "Cs", "Zs", "Zl", "Zp"})  # control, surrogate, and every sort of space
_USER_INFORMATION = re.compile(r"[^/?#]*//[^/?#]*@")
_ENDS_IN_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"  # RFC 1123 §2.1, and the underscore that DNS names carry
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")


class RefusedUrl(aiohttp.ClientError, ValueError):  # noqa: N818 - says what became of the URL
    """The URL itself is refused, whatever its name resolves to. `reason` finishes "the URL …"."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Blocked(OSError):  # noqa: N818 - the class of an attempt is "blocked"
    """The guard did not dial `address`. Both attributes are the operator's to read: they tell of inner networks.

    The text is always the same. When all addresses of a name fail, aiohttp merges errors of differing text into
    a plain `OSError`, and the guard's refusal could no longer be recognised.
    """

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(errno.EACCES, "the outbound guard refused the address")
        self.address = address
        self.reason = reason


@dataclass(frozen=True, slots=True)
class CheckedUrl:
    """A URL that may be tried. `address` is set if the host is a literal address; a name is judged when dialled."""

    url: URL
    host: str  # as dialled: lower case, IDNA, no brackets
    port: int
    address: Address | None


def check_url(url: str, policy: GuardPolicy) -> CheckedUrl:
    """Read `url` as the dialler does. Raise `RefusedUrl` if its shape or its literal address is refused."""
    parsed = _parsed(url)
    if parsed.scheme not in ("http", "https"):
        raise RefusedUrl("must begin with https:// or http://")
    if policy.https_only and parsed.scheme != "https":
        raise RefusedUrl("must begin with https://")
    host, port = parsed.raw_host, parsed.port
    if not host:
        raise RefusedUrl("has no host")
    if port is None or not (port in _WELL_KNOWN_PORTS or port >= _FIRST_FREE_PORT):
        raise RefusedUrl("has a port other than 80, 443, or 1024 and above")
    return CheckedUrl(parsed, host, port, _vetted_literal(host, policy))


def blocked_by(error: BaseException | None) -> Blocked | RefusedUrl | None:
    """Return the guard's refusal that ended a request in `error`, however aiohttp wrapped it; else `None`."""
    while error is not None and not isinstance(error, Blocked | RefusedUrl):
        error = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error.__cause__
    return error


def was_blocked(error: BaseException) -> bool:
    """Return True if it was the guard that stopped a request that ended in `error`."""
    return blocked_by(error) is not None


def guarded_session(
    policy: GuardPolicy,
    *,
    total_seconds: float | None,
    connect_seconds: float,
    limit: int = 100,
    limit_per_host: int = 0,
    resolver: AbstractResolver | None = None,
    watch_redirects: bool = True,
) -> aiohttp.ClientSession:
    """Make a session that dials only what `policy` allows. Needs a running loop; the caller closes it.

    Each URL is checked before it is used, each resolved and each dialled address is judged. A refusal raises
    `RefusedUrl`, or an `aiohttp.ClientConnectorError`; `was_blocked` recognises both. Bodies stay as they were
    sent: nothing is decompressed, so a cap on bytes read is a cap on memory. No cookies, no proxy or netrc
    from the environment. Pass `allow_redirects=False`: a redirect that aiohttp would follow raises `RefusedUrl`.
    `watch_redirects=False` saves the fifth of a request that this costs, for a caller that always passes it.
    `resolver` looks names up; without one, a fresh `NameResolver` does, apart from all other look-ups of this process.
    """
    connector = ReportingConnector(
        resolver=GuardedResolver(policy, resolver or NameResolver()),
        use_dns_cache=False,  # its look-ups are shared by all who ask, and one account must not wait for another's
        socket_factory=lambda info: _dialling(info, policy),
        ssl=tls_context(),
        limit=limit,
        limit_per_host=limit_per_host,
    )
    speak_head_first(connector)
    return aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=total_seconds, sock_connect=connect_seconds),
        headers={"Accept-Encoding": "identity"},
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        middlewares=[_url_check(policy)],
        trace_configs=[_no_redirects()] if watch_redirects else None,
    )


async def read_at_most(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    """Return the first `max_bytes` of the body, or all of it if it is shorter. Reads no more than a buffer beyond."""
    body = bytearray()
    while len(body) < max_bytes and (chunk := await response.content.read(max_bytes - len(body))):
        body += chunk
    return bytes(body)


class GuardedResolver(AbstractResolver):
    """A resolver whose every answer is judged: one refused address among them refuses the name."""

    def __init__(self, policy: GuardPolicy, inner: AbstractResolver) -> None:
        self._policy = policy
        self._inner = inner

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return all addresses of `host`. Raise `Blocked`, or another `OSError` if there are none."""
        report(LOOKING_UP)
        try:
            found = await self._inner.resolve(host, port, family)
        except UnicodeError as error:  # Python's IDNA codec refuses some names that DNS would refuse later
            raise OSError(errno.EINVAL, "the name cannot be looked up") from error
        if not found:  # aiohttp trips over an empty list
            raise OSError(errno.EADDRNOTAVAIL, "the name has no address")
        for result in found:
            _vet(result["host"], self._policy)
        report(LOOKED_UP)
        return found

    async def close(self) -> None:
        """Close the inner resolver."""
        await self._inner.close()


def vetted_socket(info: aiohttp.AddrInfoType, policy: GuardPolicy) -> socket.socket:
    """Make a socket for the address about to be dialled, or raise `Blocked`. aiohttp calls this for each address."""
    family, kind, protocol, _, dialled = info
    _vet(dialled[0], policy)
    if family == socket.AF_INET6 and dialled[3]:
        raise Blocked(dialled[0], "has a zone id")
    return socket.socket(family, kind, protocol)


def _dialling(info: aiohttp.AddrInfoType, policy: GuardPolicy) -> socket.socket:
    fresh = vetted_socket(info, policy)
    report(DIALLED)
    return fresh


def _vet(address: str, policy: GuardPolicy) -> None:
    if reason := refusal(address, policy):
        raise Blocked(address, reason)


def _url_check(policy: GuardPolicy) -> aiohttp.ClientMiddlewareType:
    @lru_cache(_KNOWN_URLS)  # the same URL is judged the same: nothing is asked but the URL and the policy
    def passes(url: URL) -> bool:
        check_url(str(url), policy)
        return True

    async def check(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        passes(request.url)
        return await send(request)

    return check


def _no_redirects() -> aiohttp.TraceConfig:
    async def refuse(
        _session: aiohttp.ClientSession, _context: SimpleNamespace, _seen: aiohttp.TraceRequestRedirectParams
    ) -> None:
        raise RefusedUrl("answered with a redirect, and this request follows no redirects")

    config = aiohttp.TraceConfig()
    config.on_request_redirect.append(refuse)
    return config


def _parsed(url: str) -> URL:
    if len(url) > MAX_URL_CHARACTERS:
        raise RefusedUrl(f"is longer than {MAX_URL_CHARACTERS} characters")
    if any(character == "\\" or unicodedata.category(character) in _UNSEEN for character in url):
        raise RefusedUrl("contains a backslash, a space or a control character")
    if _USER_INFORMATION.match(url):
        raise RefusedUrl("has user information before the host")
    try:
        return URL(url)
    except ValueError as error:
        raise RefusedUrl("is not a valid URL") from error


def _vetted_literal(host: str, policy: GuardPolicy) -> Address | None:
    """Return the address that `host` spells; `None` for a sane name."""
    if ":" in host:
        address: Address = _ipv6(host)
    elif _ENDS_IN_NUMBER.fullmatch(host.rstrip(".")):
        address = _ipv4(host)
    elif len(host.rstrip(".")) <= _MAX_NAME_CHARACTERS and _NAME.fullmatch(host):
        return None
    else:
        raise RefusedUrl("has a host that is not a DNS name")
    if reason := refusal(address, policy):
        raise RefusedUrl(f"has a host that is refused: {reason}")
    # aiohttp dials only the plain spelling, so any other would fail later and less clearly.
    if isinstance(address, IPv4Address) and str(address) != host:
        raise RefusedUrl(f"has a host that must be written {address}")
    return address


def _ipv6(host: str) -> IPv6Address:
    if "%" in host:
        raise RefusedUrl("has a host with a zone id")
    try:
        return IPv6Address(host)
    except ValueError as error:
        raise RefusedUrl("has a host that is not an IPv6 address") from error


def _ipv4(host: str) -> IPv4Address:
    """Return the address the operating system reads in `host`: also 2130706433, 0x7f000001, 127.1 and 0177.0.0.1."""
    try:
        return IPv4Address(socket.inet_aton(host.rstrip(".")))
    except (OSError, ValueError) as error:
        raise RefusedUrl("has a host that ends in a number and is not an IPv4 address") from error
