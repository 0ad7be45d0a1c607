"""Our secrets that a vendor may repeat and that must not be shown: our key, and the tokens of addresses we gave out.

A vendor's answer is kept and shown to the customer as it came, but for these. Who asked what is not known here.
"""

import re
from collections.abc import Callable

Redactor = Callable[[bytes], bytes]
"""An answer's body without our secrets."""

_SHORTEST_KEY = 8  # a shorter one would stand in innocent words, and guards nothing


def no_redaction(body: bytes) -> bytes:
    """Return the body as it came."""
    return body


def redactor_for(key: str, base_url: str) -> Redactor:
    """Return what takes out `key`, and the token of each callback address and media link below `base_url`.

    The slashes may be escaped, as some writers of JSON do (RFC 8259 §7).
    """
    places = rf"{re.escape(base_url)}/(?:callbacks/[a-z]+|media)/".replace("/", r"\\?/")
    token = re.compile(rf"({places})[A-Za-z0-9._~-]+".encode())

    def cut(body: bytes) -> bytes:
        shown = body.replace(key.encode(), b"[key]") if len(key) >= _SHORTEST_KEY else body
        return token.sub(rb"\1[token]", shown)

    return cut
