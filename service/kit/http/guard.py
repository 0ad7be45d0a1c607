"""The outbound guard's verdict on an address: why it may not be dialled, if it may not.

The table is data. Which URL is sane and who dials lives in `guarded_http`; this module opens no socket.
Sources: the IANA special-purpose registries for IPv4 and IPv6 (RFC 6890 and its updates) and the RFC of each
row. The table alone decides: `ipaddress.is_global` changed its mind between Python releases.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_ROWS = (
    ("0.0.0.0/8", "this network, RFC 1122"),
    ("10.0.0.0/8", "private, RFC 1918"),
    ("100.64.0.0/10", "shared by carriers, RFC 6598"),
    ("127.0.0.0/8", "loopback, RFC 1122"),
    ("168.63.129.16/32", "the host's own services on Azure"),
    ("169.254.0.0/16", "link-local and cloud metadata, RFC 3927"),
    ("172.16.0.0/12", "private, RFC 1918"),
    ("192.0.0.0/24", "protocol assignments, RFC 6890"),
    ("192.0.2.0/24", "documentation, RFC 5737"),
    ("192.88.99.0/24", "6to4 relay, RFC 7526"),
    ("192.168.0.0/16", "private, RFC 1918"),
    ("198.18.0.0/15", "benchmarking, RFC 2544"),
    ("198.51.100.0/24", "documentation, RFC 5737"),
    ("203.0.113.0/24", "documentation, RFC 5737"),
    ("224.0.0.0/4", "multicast, RFC 5771"),
    ("240.0.0.0/4", "reserved or broadcast, RFC 1112"),
    # The first row that fits gives the reason, so the narrow ones come first.
    ("::/128", "unspecified, RFC 4291"),
    ("::1/128", "loopback, RFC 4291"),
    ("::/96", "IPv4-compatible, RFC 4291"),
    ("::ffff:0:0/96", "IPv4-mapped, RFC 4291"),
    ("::ffff:0:0:0/96", "IPv4-translated, RFC 2765"),
    ("64:ff9b:1::/48", "local NAT64, RFC 8215"),
    ("100::/64", "discard, RFC 6666"),
    ("100:0:0:1::/64", "dummy prefix, RFC 9780"),
    ("2001::/32", "Teredo, RFC 4380"),
    ("2001:2::/48", "benchmarking, RFC 5180"),
    ("2001:10::/28", "ORCHID, RFC 4843"),
    ("2001:20::/28", "ORCHIDv2, RFC 7343"),
    ("2001::/23", "protocol assignments, RFC 2928"),
    ("2001:db8::/32", "documentation, RFC 3849"),
    ("2002::/16", "6to4, RFC 3056"),
    ("3ffe::/16", "6bone, given back, RFC 3701"),
    ("3fff::/20", "documentation, RFC 9637"),
    ("5f00::/16", "segment routing, RFC 9602"),
    ("fc00::/7", "unique local and cloud metadata, RFC 4193"),
    ("fe80::/10", "link-local, RFC 4291"),
    ("fec0::/10", "site-local, RFC 3879"),
    ("ff00::/8", "multicast, RFC 4291"),
)
REFUSED: tuple[tuple[Network, str], ...] = tuple((ip_network(text), reason) for text, reason in _ROWS)
"""Every refused network with its reason. IPv6 outside `GLOBAL_UNICAST` is refused without a row, too."""

GLOBAL_UNICAST = IPv6Network("2000::/3")
"""The only part of IPv6 ever given out for unicast (IANA IPv6 address space registry)."""

NAT64 = IPv6Network("64:ff9b::/96")
"""The well-known prefix of RFC 6052: the last 32 bits are the IPv4 address that is reached."""

_ISATAP = 0x0000_5EFE
_ISATAP_IGNORED = 0x0200_0000  # RFC 5214 §6.1: this bit only says whether the IPv4 address is public


@dataclass(frozen=True, slots=True)
class GuardPolicy:
    """What the operator lets through beyond the public internet, and whether plain http is refused."""

    allow: tuple[Network, ...] = ()
    https_only: bool = True


def refusal(address: str | Address, policy: GuardPolicy) -> str | None:
    """Return why `address` may not be dialled; `None` if it may. Never raises.

    Text has to be one address in its strict form. A zone id is refused even where `policy.allow` fits: it names
    an interface of this machine. An IPv4 row of `allow` opens neither the mapped nor the translated form.
    """
    parsed = _parsed(address)
    if parsed is None:
        return "not an IP address"
    if isinstance(parsed, IPv6Address) and parsed.scope_id is not None:
        return "has a zone id"
    if any(parsed in network for network in policy.allow):
        return None
    if isinstance(parsed, IPv6Address) and parsed in NAT64:
        return refusal(IPv4Address(int(parsed) & 0xFFFF_FFFF), policy)
    return next(_objections(parsed), None)


def _parsed(address: str | Address) -> Address | None:
    try:
        return ip_address(address)
    except ValueError:
        return None


def _objections(address: Address) -> Iterator[str]:
    yield from (reason for network, reason in REFUSED if address in network)
    if isinstance(address, IPv6Address):
        if (int(address) >> 32) & 0xFFFF_FFFF & ~_ISATAP_IGNORED == _ISATAP:
            yield "tunnels to an IPv4 address, RFC 5214"
        if address not in GLOBAL_UNICAST:
            yield "outside global unicast, RFC 4291"
