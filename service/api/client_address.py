"""The address of a client, as far as it can be trusted. For logs and rate limits, not for access."""

from ipaddress import IPv6Address, ip_address

from starlette.requests import Request


def client_address(request: Request, trusted_hops: int) -> str:
    """Return the caller's IP address; `unknown` without one.

    Each of the `trusted_hops` proxies of ours has added an entry to `X-Forwarded-For`, so the one that the outermost
    saw stands that many from the right. What stands further left may be forged. Where the header has fewer
    entries, or no address there, the other end of the connection counts.
    """
    peer = request.client.host if request.client else "unknown"
    if not trusted_hops:
        return peer
    entries = ",".join(request.headers.getlist("x-forwarded-for")).split(",")
    return _address(entries[-trusted_hops]) or peer if len(entries) >= trusted_hops else peer


def neighbourhood(address: str) -> str:
    """Return what counts as one caller: an IPv4 address, or the /64 that one IPv6 subscriber has to itself."""
    try:
        known = ip_address(address)
    except ValueError:
        return address
    if isinstance(known, IPv6Address):
        return str(known.ipv4_mapped or IPv6Address(int(known) >> 64 << 64))
    return address


def _address(entry: str) -> str | None:
    """Return the address of an entry, without the brackets and the port that some proxies add."""
    text = entry.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ip_address(text))
    except ValueError:
        return None
