"""One secret, many keys: what is signed and what is sealed never share one. What is done with them lives elsewhere."""

from collections.abc import Sequence

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_LABEL = b"verdict-relay/1/"


def derive(secret_key: str, purpose: str, length: int = 32) -> bytes:
    """Derive `length` bytes that only this secret and this purpose give. HKDF-SHA256, RFC 5869."""
    return HKDF(SHA256(), length=length, salt=None, info=_LABEL + purpose.encode()).derive(secret_key.encode())


def checked(secret_keys: Sequence[str]) -> tuple[str, ...]:
    """Return the same keys, newest first. Raise `ValueError` where there is none, or an empty one."""
    if isinstance(secret_keys, str) or not secret_keys or not all(secret_keys):
        raise ValueError("a list of secret keys is needed, newest first, none of them empty")
    return tuple(secret_keys)
