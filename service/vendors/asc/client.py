"""One path, `?action=`, one header: how ASC is asked, and what is no answer to any question."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from service.detectors.answers import is_success, json_object, mismatch, refusal, refused_audio
from service.detectors.exchange import Exchange
from service.detectors.objections import stated_refusal
from service.detectors.port import Raw, Refused
from service.vendors.asc.refusals import CONTENT

_HTTP_ERRORS = range(400, 600)


@dataclass(frozen=True, slots=True)
class AscConfig:
    """Where the vendor is, who we are there, and the names its document leaves open.

    The addresses may carry a query of their own. `job_url` defaults to `base_url`; the document prints another
    root for it. `analysis_id_from`: what a certificate is asked of where no answer named an `analysis_id`.
    """

    base_url: str = "https://api.aisongchecker.pro/v1"
    api_key: str = field(default="", repr=False)
    job_url: str | None = None
    submit_action: str = "analyze-url"
    job_action: str = "job"
    sync_action: str = "analyze"
    sync_input: Literal["url", "base64"] = "url"
    include_features: bool = False
    status_action: str = "status"
    usage_action: str = "usage"
    quota_action: str = "quota"
    certificate_action: str = "certificate"
    verify_action: str = "verify"
    webhook_action: str = "webhook"
    analysis_id_from: Literal["none", "job_id"] = "none"
    usage_detailed: bool = False
    max_megabytes: int = 50  # the Pro plan's


class AscClient:
    """What every question to ASC has in common."""

    def __init__(self, config: AscConfig, exchange: Exchange) -> None:
        self._config = config
        self._exchange = exchange
        self._headers = {"x-api-key": config.api_key}

    async def _get(self, action: str, *, url: str | None = None, **params: str) -> Raw:
        """The answer to a question. Raises `NotSent` or `OutcomeUnknown`."""
        known = {"action": action, **params}
        return await self._exchange.send("GET", url or self._config.base_url, headers=self._headers, params=known)

    async def _post(self, action: str, body: Mapping[str, object]) -> Raw:
        """The answer to a wish. Raises `NotSent` or `OutcomeUnknown`."""
        params = {"action": action}
        return await self._exchange.send("POST", self._config.base_url, headers=self._headers, json=body, params=params)

    def _body(self, raw: Raw, *, retryable: bool) -> dict[str, Any] | Refused:
        """The answer's object, or the refusal that it is. `retryable`: whether an unreadable one is asked for again."""
        believed = believing(raw)
        if not is_success(believed):
            return refused_audio(refusal(believed, hide=[self._config.api_key]), believed, CONTENT)
        body = json_object(raw.body)
        return mismatch("the answer is not one clear JSON object", retryable=retryable) if body is None else body

    def _yes(self, raw: Raw, *, retryable: bool) -> dict[str, Any] | Refused:
        """The answer's object, where nothing in it speaks against the success that it came with."""
        body = self._body(raw, retryable=retryable)
        if isinstance(body, Refused):
            return body
        return stated_refusal(body, hide=[self._config.api_key], retryable=retryable) or body


def believing(raw: Raw) -> Raw:
    """The answer with the worse of its two statuses: the error envelope repeats the HTTP status in its body."""
    status = (json_object(raw.body) or {}).get("status")
    worse = is_success(raw) and isinstance(status, int) and status in _HTTP_ERRORS
    return replace(raw, status=status) if worse and isinstance(status, int) else raw
