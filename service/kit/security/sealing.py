"""Secrets at rest: sealed with AES-256-GCM under a key per purpose, bound to the row they belong to.

A sealed value is `version (1) | key id (4) | nonce (12) | ciphertext and tag`. The key id says which of the secret
keys sealed it, so that old values stay readable while `SECRET_KEYS` rotates.
"""

import secrets
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from service.kit.errors import RelayError
from service.kit.security.keys import checked, derive

_VERSION = b"\x01"
_ID_BYTES, _NONCE_BYTES, _TAG_BYTES = 4, 12, 16
HEADER_BYTES = len(_VERSION) + _ID_BYTES
_SHORTEST = HEADER_BYTES + _NONCE_BYTES + _TAG_BYTES


class SealBroken(RelayError):  # noqa: N818 - it says what is the matter
    """A sealed value cannot be opened: altered, another row's or purpose's, or its secret key is gone."""


class Sealer:
    """Seals with the newest secret key, opens with any. `secret_keys` come newest first."""

    def __init__(self, secret_keys: Sequence[str]) -> None:
        self._keys = [(derive(key, "sealing/key-id", _ID_BYTES), key) for key in checked(secret_keys)]
        self._ciphers: dict[tuple[str, str], AESGCM] = {}

    @property
    def key_ids(self) -> list[str]:
        """Return the ids that sealed values carry, newest first, in hexadecimal digits. They reveal no key."""
        return [key_id.hex() for key_id, _ in self._keys]

    def seal(self, purpose: str, owner: str, plaintext: bytes) -> bytes:
        """Seal `plaintext`: it can be read only with the same `purpose` and `owner` (a row's id)."""
        key_id, key = self._keys[0]
        header, nonce = _VERSION + key_id, secrets.token_bytes(_NONCE_BYTES)
        inside = _framed(owner) + plaintext
        return header + nonce + self._cipher(key, purpose).encrypt(nonce, inside, _bound(header, purpose, owner))

    def open(self, purpose: str, owner: str, sealed: bytes) -> bytes:
        """Return what was sealed for this `purpose` and `owner`, or raise `SealBroken`."""
        header, nonce = sealed[:HEADER_BYTES], sealed[HEADER_BYTES : HEADER_BYTES + _NONCE_BYTES]
        if len(sealed) < _SHORTEST or not sealed.startswith(_VERSION):
            raise SealBroken("not a sealed value of a version we know")
        for key_id, key in self._keys:
            if key_id != header[len(_VERSION) :]:
                continue
            try:
                body = sealed[HEADER_BYTES + _NONCE_BYTES :]
                inside = self._cipher(key, purpose).decrypt(nonce, body, _bound(header, purpose, owner))
            except InvalidTag:
                continue  # a short id can belong to two keys
            return _unframed(owner, inside)
        raise SealBroken("altered, sealed for something else, or its secret key is no longer listed")

    def _cipher(self, key: str, purpose: str) -> AESGCM:
        if (key, purpose) not in self._ciphers:
            self._ciphers[key, purpose] = AESGCM(derive(key, f"sealing/{purpose}"))
        return self._ciphers[key, purpose]


def _framed(text: str) -> bytes:
    """Return `text` with its length before it, so that two texts in a row cannot be split elsewhere."""
    encoded = text.encode()
    return len(encoded).to_bytes(4) + encoded


def _bound(header: bytes, purpose: str, owner: str) -> bytes:
    return header + _framed(purpose) + _framed(owner)


def _unframed(owner: str, inside: bytes) -> bytes:
    """Return the plaintext, if its owner stands inside too: GCM alone does not commit to one key and one message."""
    frame = _framed(owner)
    if not inside.startswith(frame):
        raise SealBroken("sealed for another owner")
    return inside[len(frame) :]


def key_id_of(sealed: bytes) -> str:
    """Return the id of the secret key that sealed this, whether we have it or not; empty if this is not sealed."""
    return sealed[len(_VERSION) : HEADER_BYTES].hex() if sealed.startswith(_VERSION) else ""
