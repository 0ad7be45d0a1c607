"""Taking our key out of what a peer says. The stream's address holds it, and a peer may repeat the address."""

import re
from typing import Final
from urllib.parse import quote

from service.detectors.redaction import Redactor, no_redaction, redactor_for

# Up to what ends a query's value, however often the address was escaped (RFC 3986 §2.1).
_IN_ADDRESS: Final = re.compile(rb"(api_key(?:=|%(?:25)*3[Dd]))[^&\s\"'<>\\]+")


def hiding(key: str, base_url: str) -> Redactor:
    """Cuts `key` out as it is, escaped, and wherever an address names it."""
    cuts = [redactor_for(form, base_url) for form in sorted({key, quote(key, safe="")})]

    def cut(body: bytes) -> bytes:
        for each in cuts:
            body = each(body)
        return _IN_ADDRESS.sub(rb"\1[key]", body)

    return cut if key else no_redaction
