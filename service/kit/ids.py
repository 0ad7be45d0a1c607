"""TypeIDs: a prefix and a UUIDv7, e.g. `det_01jd8x6z3xe6ntqkzjv4m6q4pn`.

Sources: RFC 9562 §5.7 (UUIDv7: 48 bits of milliseconds, then random) and the TypeID specification 0.3
(Crockford base32, lower case, 26 characters). Written here because Python gains `uuid7` only in 3.14, and
because time and randomness have to come in as arguments.
"""

import re
import secrets
import time
from datetime import UTC, datetime

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
_SUFFIX = re.compile(rf"[0-7][{_ALPHABET}]{{25}}")


def new_id(prefix: str, *, milliseconds: int | None = None, entropy: bytes | None = None) -> str:
    """Make an id that sorts by its time. `entropy` is 10 bytes; both default to this machine's."""
    at = time.time_ns() // 1_000_000 if milliseconds is None else milliseconds
    noise = int.from_bytes(secrets.token_bytes(10) if entropy is None else entropy)
    random_a = (noise >> 62) & 0xFFF
    random_b = noise & ((1 << 62) - 1)
    value = (at & ((1 << 48) - 1)) << 80 | 0x7 << 76 | random_a << 64 | 0b10 << 62 | random_b
    return f"{prefix}_{_base32(value)}"


def is_id(text: str, prefix: str) -> bool:
    """Return True if `text` is a well-formed id with this prefix."""
    head, _, suffix = text.rpartition("_")
    return head == prefix and _SUFFIX.fullmatch(suffix) is not None


def created_at(text: str) -> datetime | None:
    """Return when this id was made, by its maker's clock; `None` if it is not an id."""
    suffix = text.rpartition("_")[2]
    if _SUFFIX.fullmatch(suffix) is None:
        return None
    milliseconds = sum(_ALPHABET.index(letter) << 5 * place for place, letter in enumerate(reversed(suffix))) >> 80
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, ValueError):
        return None


def _base32(value: int) -> str:
    return "".join([_PAIRS[(value >> shift) & 1023] for shift in range(120, -1, -10)])
