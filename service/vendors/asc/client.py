"""One path, `?action=`, one header: how ASC is asked, and what does not count as an answer."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from service.detectors.answers import is_success, json_object, mismatch, refusal, refused_audio
from service.detectors.enums import ReasonCode
from service.detectors.exchange import Exchange
from service.detectors.objections import stated_refusal
from service.detectors.port import Raw, Refused
from service.vendors.asc.settings import AscSettings

_HTTP_ERRORS = range(400, 600)
CONTENT: Final[Mapping[str, ReasonCode]] = {
    "invalid audio format": ReasonCode.UNSUPPORTED_FORMAT,  # the documented slug, and its message
    "audio format not supported": ReasonCode.UNSUPPORTED_FORMAT,
    "file too large": ReasonCode.FILE_TOO_LARGE,  # not documented but for its status, 413
}
"""What of a refusal is about the audio, by its own words, wherever they stand; for `answers.code_by_words`."""


class AscClient:
    """What every question to ASC has in common."""

    def __init__(self, settings: AscSettings, exchange: Exchange) -> None:
        self._settings = settings
        self._exchange = exchange
        self._headers = {"x-api-key": settings.secret}

    async def _get(self, action: str, *, url: str | None = None, **params: str) -> Raw:
        """Ask and return the answer. Raise `NotSent` or `OutcomeUnknown`."""
        known = {"action": action, **params}
        return await self._exchange.send("GET", url or self._settings.base_url, headers=self._headers, params=known)

    async def _post(self, action: str, body: Mapping[str, object]) -> Raw:
        """Post `body` and return the answer. Raise `NotSent` or `OutcomeUnknown`."""
        params = {"action": action}
        return await self._exchange.send(
            "POST", self._settings.base_url, headers=self._headers, json=body, params=params
        )

    def _body(self, raw: Raw, *, retryable: bool) -> dict[str, Any] | Refused:
        """Return the answer's object, or the refusal that it is. `retryable`: an unreadable one is asked for again."""
        believed = believing(raw)
        if not is_success(believed):
            return refused_audio(refusal(believed, hide=[self._settings.secret]), believed, CONTENT)
        body = json_object(raw.body)
        return mismatch("the answer is not one clear JSON object", retryable=retryable) if body is None else body

    def _yes(self, raw: Raw, *, retryable: bool) -> dict[str, Any] | Refused:
        """Return the answer's object, if nothing in it speaks against the success that it came with."""
        body = self._body(raw, retryable=retryable)
        if isinstance(body, Refused):
            return body
        return stated_refusal(body, hide=[self._settings.secret], retryable=retryable) or body


def believing(raw: Raw) -> Raw:
    """Return the answer with the worse of its two statuses: the error envelope repeats the HTTP status in its body."""
    status = (json_object(raw.body) or {}).get("status")
    worse = is_success(raw) and isinstance(status, int) and status in _HTTP_ERRORS
    return replace(raw, status=status) if worse and isinstance(status, int) else raw
