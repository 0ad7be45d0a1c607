"""The access token: got once, shared by all requests, renewed in time. It is kept in memory only.

OAuth 2.0 client credentials (RFC 6749 §4.4) with HTTP Basic. Of the answer only `access_token` is documented; a token
lives two hours.
"""

import asyncio
import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from service.detectors.answers import is_success, json_object, number_of
from service.detectors.exchange import Exchange, Failure, NotSent, VendorError
from service.detectors.port import Raw
from service.kit.clock import Clock, seconds

_LIFE_SECONDS: Final = 2 * 3600.0
_LONGEST_LIFE_SECONDS: Final = 30 * 24 * 3600.0
_RENEW_AFTER = 0.75  # of its life: the vendor advises to renew at about 90 of 120 minutes
_RENEW_AGAIN_SECONDS = 60.0
_UNAUTHORIZED = 401
_REFUSALS = (400, _UNAUTHORIZED, 403)
_TEXT = re.compile(r"[\x21-\x7e]{1,8192}")  # more than RFC 6750 §2.1 allows, and all that fits into a header
_SHORTEST_SECRET = 8  # a shorter one would stand in innocent words, and guards nothing


@dataclass(frozen=True, slots=True)
class Token:
    """A token, when it is time for the next one, and until when it may be used all the same."""

    text: str = field(repr=False)
    renew_at: datetime
    expires_at: datetime


class PexTokens:
    """The one token of one adapter. All that need it while it is being asked for wait for the same answer."""

    def __init__(self, url: str, basic: str, exchange: Exchange, clock: Clock, timeout_seconds: float) -> None:
        self._url = url
        self._basic = basic
        self._exchange = exchange
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        self._held: Token | None = None
        self._asking: asyncio.Task[Token | Raw | Failure] | None = None

    async def token(self, *, refused: str | None = None) -> str | Raw:
        """Return a token other than the `refused` one, or the vendor's whole answer if it gives none.

        Raise `NotSent` if no answer came: without a token nothing was analysed, so nothing was billed.
        """
        if self._held is not None and self._held.text == refused:
            self._held = None
        if self._held is not None and self._clock() < self._held.renew_at:
            return self._held.text
        if self._asking is None:
            self._asking = asyncio.create_task(self._renew())
            self._asking.add_done_callback(self._renewed)
        # Shielded: a caller that gives up waiting does not take the token from the others.
        found = await asyncio.shield(self._asking)
        if isinstance(found, Failure):
            raise NotSent(f"the vendor gave no access token ({found})", found)
        return found.text if isinstance(found, Token) else found

    def _renewed(self, _task: asyncio.Task[Token | Raw | Failure]) -> None:
        self._asking = None

    async def _renew(self) -> Token | Raw | Failure:
        found = await self._request_token()
        if isinstance(found, Token):
            self._held = found
        elif self._held is not None and (now := self._clock()) < self._held.expires_at:
            self._held = replace(self._held, renew_at=now + seconds(_RENEW_AGAIN_SECONDS))
            return self._held  # it still opens the door
        return found

    async def _request_token(self) -> Token | Raw | Failure:
        asked_at = self._clock()
        headers = {"authorization": f"Basic {self._basic}", "content-type": "application/x-www-form-urlencoded"}
        form = b"grant_type=client_credentials"
        try:
            async with asyncio.timeout(self._timeout_seconds):
                raw = await self._exchange.send("POST", self._url, headers=headers, content=form)
        except VendorError as error:
            return error.failure
        except TimeoutError:
            return Failure.TIMEOUT
        if is_success(raw):
            return token_in(raw, asked_at) or Failure.UNREADABLE
        # Whichever way our credentials are refused, it is what a request without a token hears.
        return replace(raw, status=_UNAUTHORIZED) if raw.status in _REFUSALS else raw


def token_in(raw: Raw, asked_at: datetime) -> Token | None:
    """Return the token in the answer, its life counted from `asked_at`, or `None` if none can be sent."""
    body = json_object(raw.body) or {}
    text = body.get("access_token")
    if not isinstance(text, str) or not _TEXT.fullmatch(text):
        return None
    life = number_of(body.get("expires_in"), 1, _LONGEST_LIFE_SECONDS) or _LIFE_SECONDS
    return Token(text, asked_at + seconds(life * _RENEW_AFTER), asked_at + seconds(life))


def basic_of(client_id: str, client_secret: str) -> str:
    """Return the credentials of HTTP Basic (RFC 7617), unescaped as in the vendor's samples."""
    return base64.b64encode(f"{client_id}:{client_secret}".encode()).decode()


def without(raw: Raw, secrets: Iterable[str]) -> Raw:
    """Return the answer with none of our `secrets` in its body, if the vendor repeats one. Slashes may be escaped."""
    body = raw.body
    for secret in secrets:
        if len(secret) >= _SHORTEST_SECRET:
            body = re.sub(re.escape(secret).replace("/", r"\\?/").encode(), b"[key]", body)
    return replace(raw, body=body)
