"""Signed tokens for URLs: short, expiring by the caller's clock, one signing key per purpose.

Signed, not secret: the holder of a token can read its payload.
"""

import re
from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any

from itsdangerous import BadData, URLSafeSerializer
from itsdangerous.encoding import base64_decode, base64_encode

from service.kit.errors import RelayError
from service.kit.security.keys import checked, derive

# The payload (a leading dot: compressed), a dot, 32 bytes of HMAC-SHA256. itsdangerous itself skips stray letters.
_SHAPE = re.compile(r"\.?[A-Za-z0-9_-]{1,2000}\.([A-Za-z0-9_-]{43})")
_MOST_PURPOSES = 500  # lists have one for each account


class BadToken(RelayError):  # noqa: N818 - it says what is the matter
    """A token is forged, malformed or expired. The text is for our logs; the caller does not learn which."""


class Tokens:
    """Signs with the newest secret key, reads with any. `secret_keys` come newest first."""

    def __init__(self, secret_keys: Sequence[str]) -> None:
        self._secret_keys = checked(secret_keys)
        self._serializers: OrderedDict[str, URLSafeSerializer] = OrderedDict()  # the oldest first

    def sign(self, purpose: str, payload: Sequence[Any] | dict[str, Any], *, expires_at: datetime | None) -> str:
        """Return a token that carries `payload` (JSON) until `expires_at`, rounded up to a second; `None`: for ever."""
        until = 0 if expires_at is None else -int(-expires_at.timestamp() // 1)
        return self._serializer(purpose).dumps([until, payload])

    def read(self, purpose: str, token: str, *, now: datetime | None) -> Any:
        """Return the payload, if we signed it for this purpose and `now` is before its end; else raise `BadToken`.

        Without `now`, only tokens that never expire are read.
        """
        shape = _SHAPE.fullmatch(token)
        if shape is None or base64_encode(base64_decode(shape[1])).decode() != shape[1]:
            raise BadToken("malformed")
        try:
            until, payload = self._serializer(purpose).loads(token)
        except BadData as error:
            raise BadToken("forged, or signed for another purpose") from error
        if until and (now is None or now.timestamp() >= until):
            raise BadToken("expired")
        return payload

    def _serializer(self, purpose: str) -> URLSafeSerializer:
        if purpose not in self._serializers:
            # itsdangerous signs with the last of its list; our lists have the newest first.
            keys = [derive(key, f"tokens/{purpose}") for key in reversed(self._secret_keys)]
            signer_kwargs = {"key_derivation": "none", "digest_method": sha256}
            self._serializers[purpose] = URLSafeSerializer(keys, signer_kwargs=signer_kwargs)
            while len(self._serializers) > _MOST_PURPOSES:
                self._serializers.popitem(last=False)
        return self._serializers[purpose]
