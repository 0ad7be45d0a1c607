"""What is needed to send to an endpoint: its URL as it is dialled, its headers and keys in clear.

Worked out once a minute for an endpoint, or when it changes, not once a delivery. What is in clear stays in memory no
longer than that.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from yarl import URL

from service.kit.errors import RelayError
from service.kit.security.sealing import Sealer
from service.kit.security.signatures import key_of
from service.webhooks.queue.claimed import Target
from service.webhooks.sending.signing import FIXED_HEADERS, open_headers, open_secrets

_KEPT = timedelta(minutes=1)


class EndpointSender(NamedTuple):
    """What is the same for all webhooks to one endpoint. `keys` sign, the newest first."""

    url: URL | str
    headers: Mapping[str, str]
    keys: tuple[bytes, ...]


class Senders:
    """The senders that are known now."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer
        self._kept: dict[str, tuple[Target, EndpointSender, datetime]] = {}

    def of(self, target: Target, now: datetime) -> EndpointSender:
        """Return how to send to this endpoint. Raise `RelayError` without a key: nothing goes out unsigned."""
        kept = self._kept.get(target.endpoint_id)
        if kept is not None and kept[0] == target and now < kept[2]:
            return kept[1]
        sender = self._opened(target)
        self._kept[target.endpoint_id] = (target, sender, now + _KEPT)
        return sender

    def forget(self, now: datetime) -> None:
        """Forget all that was kept for its time."""
        self._kept = {endpoint_id: kept for endpoint_id, kept in self._kept.items() if now < kept[2]}

    def _opened(self, target: Target) -> EndpointSender:
        secrets = open_secrets(self._sealer, target.sealed_secrets)
        if not secrets:
            raise RelayError("the endpoint has no valid secret")
        headers = open_headers(self._sealer, target.endpoint_id, target.sealed_headers) | FIXED_HEADERS
        return EndpointSender(_read(target.url), headers, tuple(key_of(secret) for secret in secrets))


def _read(url: str) -> URL | str:
    """Return the URL as aiohttp would read it; as it is where it cannot be read, for the attempt to say so."""
    try:
        return URL(url)
    except ValueError:
        return url
