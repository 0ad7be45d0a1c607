"""The two requests ASC takes, and what their answers achieved. The meaning of a result is in `results`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from service.detectors.answers import is_success, json_object, mismatch, name_of, number_of, refusal, text_of
from service.detectors.exchange import Exchange
from service.detectors.port import Accepted, Ask, CallbackRefs, Capabilities, Needs, Prepared, Raw, Refused
from service.detectors.reading import Reading
from service.detectors.words import Authenticity, ReasonCode
from service.vendors.asc.results import read_body

_NOT_FOUND = 404
_HTTP_ERRORS = range(400, 600)
_ID_CHARACTERS = 2000
_DAY_SECONDS = 24 * 3600
_CAPABILITIES = Capabilities(
    formats=frozenset({"mp3", "wav", "flac", "ogg", "m4a"}),
    needs=Needs.LINK,
    max_bytes=50 * 1024 * 1024,  # the Pro plan's 50 MB
    callbacks="run",
)


@dataclass(frozen=True, slots=True)
class AscConfig:
    """Where the vendor is, who we are there, and the names its document leaves open.

    The addresses may carry a query of their own. `job_url` defaults to `base_url`; the document prints another
    root for it.
    """

    base_url: str = "https://api.aisongchecker.pro/v1"
    api_key: str = field(default="", repr=False)
    job_url: str | None = None
    submit_action: str = "analyze-url"
    job_action: str = "job"


class Asc:
    """The adapter for ASC's asynchronous analysis of a link."""

    vendor: str = "asc"
    detectors: Sequence[str] = ("asc",)

    def __init__(self, config: AscConfig, exchange: Exchange) -> None:
        self._config = config
        self._exchange = exchange
        self._headers = {"x-api-key": config.api_key}

    def capabilities(self, detector: str) -> Capabilities:
        """What the detector takes. Raises `ValueError` for a detector of someone else's."""
        if detector not in self.detectors:
            raise ValueError(f"not a detector of ASC: {detector}")
        return _CAPABILITIES

    async def prepare(self, ask: Ask) -> Raw:
        """Never returns: ASC has one step only. Raises `NotImplementedError`."""
        raise NotImplementedError(f"{ask.detector} has no first step")

    def prepared(self, raw: Raw) -> Prepared | Refused:
        """A refusal: there is nothing that could have been prepared."""
        return mismatch(f"HTTP {raw.status} to a step that does not exist", retryable=False)

    async def submit(self, ask: Ask) -> Raw:
        """The vendor's answer to the billed request. Raises `NotSent` or `OutcomeUnknown`."""
        if ask.media_url is None:
            raise ValueError("ASC fetches the audio itself: media_url is missing")
        body = {"url": ask.media_url}
        if ask.callback_url is not None:
            body["callback_url"] = ask.callback_url
        params = {"action": self._config.submit_action}
        return await self._exchange.send("POST", self._config.base_url, headers=self._headers, json=body, params=params)

    def accepted(self, raw: Raw) -> Accepted | Reading | Refused:
        """The job's id and the vendor's own estimate, or why there is none."""
        if not is_success(raw):
            return refusal(raw, hide=[self._config.api_key])
        body = json_object(raw.body) or {}
        job_id = name_of(body.get("job_id"))
        if job_id is None or len(job_id) > _ID_CHARACTERS or not job_id.isprintable():
            return mismatch("the answer to the submission names no job", retryable=False)
        estimate = number_of(body.get("estimated_time_sec"), 0, _DAY_SECONDS)
        return Accepted(job_id, None if estimate is None else round(estimate))

    async def fetch(self, ask: Ask) -> Raw:
        """The job's state and, at the end, its result. Raises `NotSent` or `OutcomeUnknown`."""
        if ask.vendor_job_id is None:
            raise ValueError("there is no job to ask for: vendor_job_id is missing")
        params = {"action": self._config.job_action, "id": ask.vendor_job_id}
        url = self._config.job_url or self._config.base_url
        return await self._exchange.send("GET", url, headers=self._headers, params=params)

    def read(self, raw: Raw, detector: str) -> Reading | Refused:
        """What a poll's answer or a callback's body says. Never raises."""
        del detector  # one model, one way to read it
        body = json_object(raw.body)
        status = (body or {}).get("status")
        if is_success(raw) and isinstance(status, int) and status in _HTTP_ERRORS:
            raw = replace(raw, status=status)  # the error envelope repeats the HTTP status; believe the worse
        if raw.status == _NOT_FOUND:
            return Refused(ReasonCode.VENDOR_ERROR, "the vendor does not find the job", retryable=True)
        if not is_success(raw):
            return refusal(raw, hide=[self._config.api_key])
        if body is None:
            return mismatch("the answer is not one clear JSON object", retryable=True)
        return read_body(body, [self._config.api_key])

    def verify(
        self, headers: Mapping[str, str], body: Mapping[str, object], secrets: Sequence[str], now: datetime
    ) -> Authenticity | None:
        """`URL_TOKEN`: no signature is documented; our signed address is all the proof there is."""
        del headers, body, secrets, now
        return Authenticity.URL_TOKEN

    def challenge(self, body: Mapping[str, object]) -> dict[str, object] | None:
        """`None`: ASC does not check addresses."""
        del body
        return None

    def refs(self, body: Mapping[str, object]) -> CallbackRefs | None:
        """The job a callback speaks of, if it names one."""
        return CallbackRefs(text_of(body.get("job_id")))
