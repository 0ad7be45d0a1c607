"""Signed links by which a vendor fetches a run's audio. Whether one still opens is not known here: the run says so."""

from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from service.kit.security.tokens import BadToken, Tokens

_PURPOSE = "media"


@dataclass(frozen=True, slots=True)
class MediaGrant:
    """What a link opens: these bytes, of this many and this type."""

    media_id: str
    bytes: int
    content_type: str


class MediaLinks:
    """Links below `base_url`, the address by which vendors reach us."""

    def __init__(self, tokens: Tokens, base_url: str) -> None:
        self._tokens = tokens
        self._base_url = base_url.rstrip("/")

    def link(self, run_id: str, mode: str, name: str, expires_at: datetime) -> str:
        """Return the address of this run's audio. `name` only tells the vendor what to call it; it is not signed."""
        token = self._tokens.sign(_PURPOSE, [mode, run_id], expires_at=expires_at)
        return f"{self._base_url}/media/{token}/{quote(name, safe='')}"

    def read(self, token: str, now: datetime) -> tuple[str, str]:
        """Return the mode and the run's id, or raise `BadToken`."""
        match self._tokens.read(_PURPOSE, token, now=now):
            case [str(mode), str(run_id)]:
                return mode, run_id
        raise BadToken("signed by us, but no media link")
