"""The analyses ASC makes, at once or as a job, and what the first answers achieved. A result is read in `results`."""

import base64
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, ClassVar

from service.detectors.answers import mismatch, number_of, text_of, wants_money
from service.detectors.enums import Authenticity, ReasonCode, RunStatus
from service.detectors.judged import Judged
from service.detectors.objections import failure
from service.detectors.port import Accepted, CallbackRefs, Capabilities, Needs, Prepared, Raw, Refused, RunContext
from service.detectors.reading import Reading
from service.vendors.asc.client import believing
from service.vendors.asc.extensions import AscExtensions
from service.vendors.asc.results import read_body

_NOT_FOUND = 404
_NO_JOB = "00000000-0000-0000-0000-000000000000"
_ID_CHARACTERS = 2000
_DAY_SECONDS = 24 * 3600
_SYNC = "asc/sync"
_AS_JOB = Capabilities(
    formats=frozenset({"mp3", "wav", "flac", "ogg", "m4a"}),
    needs=Needs.LINK,
    callbacks="run",
)
_AT_ONCE = replace(_AS_JOB, callbacks=None)
_ENCODED = replace(_AT_ONCE, needs=Needs.UPLOAD, takes_link=True)


class Asc(AscExtensions, Judged):
    """The adapter for ASC: `asc` is a job made from a link, `asc/sync` an analysis answered at once."""

    vendor: str = "asc"
    detectors: Sequence[str] = ("asc", _SYNC)
    verdict_at: ClassVar[tuple[str, ...]] = ("prediction",)
    measured_at: ClassVar[frozenset[str]] = frozenset({"features"})

    @property
    def secrets(self) -> Sequence[str]:
        """The key."""
        return (self._settings.secret,)

    def capabilities(self, detector: str) -> Capabilities:
        """Return what the detector takes. Raise `ValueError` for another vendor's detector."""
        if detector not in self.detectors:
            raise ValueError(f"not a detector of ASC: {detector}")
        megabytes = self._settings.max_megabytes
        if detector == _SYNC and self._settings.sync_input == "base64":
            # Whether that is before or after encoding is not documented: after, and in the smaller meaning, is safe.
            return replace(_ENCODED, max_bytes=megabytes * 1000 * 1000 * 3 // 4)
        return replace(_AT_ONCE if detector == _SYNC else _AS_JOB, max_bytes=megabytes * 1024 * 1024)

    async def prepare(self, context: RunContext) -> Raw:
        """Raise `NotImplementedError`: ASC has one step only."""
        raise NotImplementedError(f"{context.detector} has no first step")

    def parse_prepare(self, raw: Raw) -> Prepared | Refused:
        """Return a refusal: there is nothing that could have been prepared."""
        return mismatch(f"HTTP {raw.status} to a step that does not exist", retryable=False)

    async def submit(self, context: RunContext) -> Raw:
        """Send the billed request. Raise `NotSent` or `OutcomeUnknown`."""
        sync = context.detector == _SYNC
        if context.media_url is None:
            if sync and self._settings.sync_input == "base64":
                return await self._analyze_bytes(context)
            raise ValueError("ASC fetches the audio itself: media_url is missing")
        if sync:
            return await self._post(
                self._settings.sync_action, {"audio_url": context.media_url, **self._hints(context)}
            )
        body = {"url": context.media_url}  # the one field that the two actions call differently
        if context.callback_url is not None:
            body["callback_url"] = context.callback_url
        return await self._post(self._settings.submit_action, body)

    def interpret_submit(self, raw: Raw) -> Accepted | Reading | Refused:
        """Return the job's id and the vendor's own estimate; or the result at once; or why there is neither."""
        body = self._body(raw, retryable=False)
        if isinstance(body, Refused):
            return body
        parsed = read_body(body, self.secrets)
        if isinstance(parsed, Refused):
            return replace(parsed, retryable=False)
        job_id = parsed.refs.job_id
        failed = job_id is None and parsed.status is RunStatus.FAILED
        if failed and wants_money(parsed.reason_text or ""):
            return failure(parsed.reason_text or "", retryable=False)
        return parsed if failed or parsed.verdict is not None else _accepted(job_id, body)

    async def fetch(self, context: RunContext) -> Raw:
        """Fetch the job's state and, at the end, its result. Raise `NotSent` or `OutcomeUnknown`."""
        if context.vendor_job_id is None:
            raise ValueError("there is no job to ask for: vendor_job_id is missing")
        return await self._fetch(context.vendor_job_id)

    async def check_credentials(self) -> Raw:
        """Ask for a job that does not exist: that the vendor's health needs a key is not documented."""
        return await self._fetch(_NO_JOB)

    def parse_beside(self, raw: Raw) -> Reading | None:
        """Return the names and times in the answer to a first request. Never raise."""
        parsed = self.interpret(raw, self.detectors[0])
        return parsed if isinstance(parsed, Reading) else None

    def interpret(self, raw: Raw, detector: str) -> Reading | Refused:
        """Return what a poll's answer or a callback's body says. Never raise."""
        del detector  # one model, one way to read it
        if believing(raw).status == _NOT_FOUND:
            return Refused(ReasonCode.VENDOR_ERROR, "the vendor does not find the job", retryable=True)
        body = self._body(raw, retryable=True)
        return body if isinstance(body, Refused) else read_body(body, self.secrets)

    def verify(
        self, headers: Mapping[str, str], body: Mapping[str, object], secrets: Sequence[str], now: datetime
    ) -> Authenticity | None:
        """Return `URL_TOKEN`: no signature is documented; our signed address is all the proof there is."""
        del headers, body, secrets, now
        return Authenticity.URL_TOKEN

    def challenge(self, body: Mapping[str, object]) -> dict[str, object] | None:
        """Return `None`: ASC does not check addresses."""
        del body
        return None

    def refs(self, body: Mapping[str, object]) -> CallbackRefs | None:
        """Return the job, or the certificate, that a callback speaks of, if it names one."""
        ready = self.parse_announcement(body)
        return CallbackRefs(text_of(body.get("job_id")), ready.certificate.certificate_id if ready else None)

    async def _fetch(self, job_id: str) -> Raw:
        return await self._get(self._settings.job_action, url=self._settings.job_url, id=job_id)

    async def _analyze_bytes(self, context: RunContext) -> Raw:
        """Send the audio itself, encoded as it leaves."""
        form, content = _AudioJson(self._hints(context)), context.read_media()
        body = form.body(content)
        # Without a file name a twin cannot know what it is to play: in test mode the name comes beside.
        named = {"sandbox_name": context.sandbox_name} if context.sandbox_name is not None else {}
        try:
            return await self._exchange.send(
                "POST",
                self._settings.base_url,
                headers={**self._headers, **form.headers(context.media_bytes)},
                content=body,
                params={"action": self._settings.sync_action, **named},
            )
        finally:
            await body.aclose()
            if isinstance(content, AsyncGenerator):
                await content.aclose()

    def _hints(self, context: RunContext) -> dict[str, object]:
        word = context.name.rpartition(".")[2].lower()
        known = {"format": word} if word in _AS_JOB.formats else {}
        return {**known, **({"include_features": True} if self._settings.include_features else {})}


def _accepted(job_id: str | None, body: Mapping[str, Any]) -> Accepted | Refused:
    if job_id is None or len(job_id) > _ID_CHARACTERS or not job_id.isprintable():
        return mismatch("the answer to the submission has neither a job nor a result", retryable=False)
    estimate = number_of(body.get("estimated_time_sec"), 0, _DAY_SECONDS)
    return Accepted(job_id, None if estimate is None else round(estimate))


class _AudioJson:
    """A JSON object of `fields` and the audio in base64: encoded as it streams, its length known before."""

    def __init__(self, fields: Mapping[str, object]) -> None:
        known = json.dumps(fields)[1:-1]
        self._head = ("{" + (known + ", " if known else "") + '"audio_data": "').encode()
        self._tail = b'"}'

    def headers(self, length: int) -> dict[str, str]:
        """Return the content headers for audio of `length` bytes (RFC 4648 §4: four letters for three bytes)."""
        encoded = 4 * -(-length // 3)
        return {
            "content-type": "application/json",
            "content-length": str(len(self._head) + encoded + len(self._tail)),
        }

    async def body(self, content: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        """Yield the object's bytes, and take the audio's from `content` only as they are needed."""
        yield self._head
        rest = b""
        async for chunk in content:
            data = rest + chunk
            whole = len(data) - len(data) % 3
            yield base64.b64encode(data[:whole])
            rest = data[whole:]
        yield base64.b64encode(rest)
        yield self._tail
