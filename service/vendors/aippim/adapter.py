"""The requests AIPPIM takes, what their answers achieved, and whether a callback is the vendor's.

The meaning of a result is in `results`.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar
from urllib.parse import quote

from service.detectors.answers import (
    is_success,
    json_object,
    mismatch,
    name_of,
    refusal,
    text_of,
)
from service.detectors.enums import Authenticity, ReasonCode, Verdict
from service.detectors.exchange import Exchange
from service.detectors.judged import Judged
from service.detectors.objections import stated_refusal
from service.detectors.port import Accepted, CallbackRefs, Capabilities, Needs, Prepared, Raw, Refused, RunContext
from service.detectors.reading import Reading
from service.vendors.aippim.envelope import read_envelope, result_of
from service.vendors.aippim.results import unheard_in
from service.vendors.aippim.settings import AippimSettings

_NOT_FOUND = 404
_NO_TASK = "00000000-0000-0000-0000-000000000000"
_ID_CHARACTERS = 2000
_WINDOW_SECONDS = 300
_CHALLENGE_CHARACTERS = 1000
_TIMESTAMP = re.compile(r"[1-9][0-9]{0,11}")
_DIGEST = re.compile(r"[0-9a-fA-F]{64}")
_CAPABILITIES = Capabilities(
    # The upload page's list. No limit of size or duration is documented (under 50 MB was once the advice).
    formats=frozenset({"mp3", "wav", "flac", "m4a", "aac", "ogg"}),
    needs=Needs.UPLOAD,
    prepares=True,
    callbacks="account",
)


class Aippim(Judged):
    """The adapter for AIPPIM's four models; `pro-v2` is for its Enterprise customers only."""

    vendor: str = "aippim"
    detectors: Sequence[str] = ("aippim/standard", "aippim/lite", "aippim/pro", "aippim/pro-v2")
    verdict_at: ClassVar[tuple[str, ...]] = ("final_result", "prediction")

    def __init__(self, settings: AippimSettings, exchange: Exchange) -> None:
        self._settings = settings
        self._exchange = exchange
        self._base = settings.base_url.rstrip("/")
        self._headers = {"authorization": f"Bearer {settings.secret}"}

    @property
    def secrets(self) -> Sequence[str]:
        """The key."""
        return (self._settings.secret,)

    def lacks(self, parsed: Reading, bodies: Sequence[Mapping[str, Any]]) -> str | None:
        """Return what the models do not say, where `real` is doubted if they contradict it."""
        if parsed.verdict is not Verdict.NO_AI_DETECTED or not self._settings.doubt_real_on_ai_cover:
            return None
        return unheard_in(result_of(bodies[0])) if bodies else "result"

    def capabilities(self, detector: str) -> Capabilities:
        """Return what all the models take. Raise `ValueError` for another vendor's detector."""
        _model(detector)
        return _CAPABILITIES

    async def prepare(self, context: RunContext) -> Raw:
        """Upload the audio. Raise `NotSent` or `OutcomeUnknown`."""
        return await self._exchange.upload(
            f"{self._base}/api/v1/music",
            field="file",
            file_name=context.name,
            media_type=context.media_type,
            length=context.media_bytes,
            content=context.read_media(),
            headers=self._headers,
        )

    def parse_prepare(self, raw: Raw) -> Prepared | Refused:
        """Return the `musicId` that submit needs, or why there is none."""
        if not is_success(raw):
            return self._refused_at_the_door(raw)
        body = json_object(raw.body) or {}
        if (refused := stated_refusal(body, hide=self.secrets, retryable=False)) is not None:
            return refused
        music_id = _usable(body.get("musicId"))
        if music_id is None:
            return mismatch("the answer to the upload has no musicId", retryable=False)
        title = text_of(body.get("title"))
        return Prepared(music_id, {"title": title} if title else {})

    async def submit(self, context: RunContext) -> Raw:
        """Send the billed request. Raise `NotSent` or `OutcomeUnknown`."""
        if context.prepared_ref is None:
            raise ValueError("AIPPIM analyses what was uploaded: prepared_ref is missing")
        url = f"{self._base}/api/v1/ai-detection/{_model(context.detector)}"
        return await self._exchange.send("POST", url, headers=self._headers, json={"musicId": context.prepared_ref})

    def interpret_submit(self, raw: Raw) -> Accepted | Reading | Refused:
        """Return the task's id, under either spelling, or why there is none."""
        if not is_success(raw):
            return self._refused_at_the_door(raw)
        body = json_object(raw.body) or {}
        found = {name for key in ("task_id", "taskId") if (name := name_of(body.get(key)))}
        task_id = _usable(found.pop()) if len(found) == 1 else None
        if task_id is None:
            refused = stated_refusal(body, hide=self.secrets, retryable=False)
            return refused or mismatch("the answer to the submission does not name one task", retryable=False)
        other = {key: str(body[key]) for key in ("filepath", "model") if text_of(body.get(key))}
        return Accepted(task_id, other=other)

    async def fetch(self, context: RunContext) -> Raw:
        """Fetch the task's state and, at the end, its result. Raise `NotSent` or `OutcomeUnknown`."""
        if context.vendor_job_id is None:
            raise ValueError("there is no task to ask for: vendor_job_id is missing")
        return await self._fetch(context.vendor_job_id)

    async def check_credentials(self) -> Raw:
        """Ask for a task that does not exist."""
        return await self._fetch(_NO_TASK)

    async def _fetch(self, task_id: str) -> Raw:
        url = f"{self._base}/api/v1/task/result/{quote(task_id, safe='')}"
        return await self._exchange.send("GET", url, headers=self._headers)

    def parse_beside(self, raw: Raw) -> Reading | None:
        """Return the names and times in the answer to a first request. Never raise."""
        parsed = self.interpret(raw, self.detectors[0])
        return parsed if isinstance(parsed, Reading) else None

    def interpret(self, raw: Raw, detector: str) -> Reading | Refused:
        """Return what a poll's answer or a callback's body says. Never raise."""
        if raw.status == _NOT_FOUND:
            # The task is known to us. A 404 here may also mean an unknown key, so it is asked for again.
            return Refused(ReasonCode.VENDOR_ERROR, "the vendor does not find the task", retryable=True)
        if not is_success(raw):
            return refusal(raw, hide=[self._settings.secret])
        body = json_object(raw.body)
        if body is None:
            return mismatch("the answer is not one clear JSON object", retryable=True)
        return read_envelope(
            body,
            tier=detector.partition("/")[2] or None,
            hide=[self._settings.secret],
            doubt_real_on_ai_cover=self._settings.doubt_real_on_ai_cover,
        )

    def verify(
        self, headers: Mapping[str, str], body: Mapping[str, object], secrets: Sequence[str], now: datetime
    ) -> Authenticity | None:
        """Return `PARTIAL_HMAC` if one of `secrets` signed the task's id within 300 s of `now`; else `None`.

        The documented verifier needs a `task_id`; where a body has only the quick start's `taskId`, that is taken.
        The vendor signs `{timestamp}:{task_id}` and nothing else: a valid signature says nothing about the status or
        the verdict beside it. The older scheme, one header over the raw body, ended on 2025-12-15 and is not accepted.
        Source: https://docs.mippia.com/guides/webhooks.html
        """
        timestamp = headers.get("x-mippia-timestamp", "")
        signature = headers.get("x-mippia-signature", "")
        named = self.refs(body)
        if named is None or named.job_id is None:
            return None
        if not _TIMESTAMP.fullmatch(timestamp) or not _DIGEST.fullmatch(signature):
            return None
        if abs(now.timestamp() - int(timestamp)) > _WINDOW_SECONDS:
            return None
        # Half a surrogate pair has no UTF-8; such an id was never signed, and must not stop us.
        signed = f"{timestamp}:{named.job_id}".encode(errors="replace")
        claimed = bytes.fromhex(signature)
        matches = [hmac.compare_digest(_mac(secret, signed), claimed) for secret in secrets if secret]
        return Authenticity.PARTIAL_HMAC if any(matches) else None

    def challenge(self, body: Mapping[str, object]) -> dict[str, object] | None:
        """Return `{"challenge": …}` for the dashboard's check of our address, which is not signed; else `None`."""
        code = body.get("challenge")
        if body.get("type") != "url_verification" or not isinstance(code, str):
            return None
        return {"challenge": code} if len(code) <= _CHALLENGE_CHARACTERS and _encodable(code) else None

    def refs(self, body: Mapping[str, object]) -> CallbackRefs | None:
        """Return the task a callback speaks of, under either spelling; `None` if the two name different tasks."""
        named = [body[key] for key in ("task_id", "taskId") if body.get(key) is not None]
        if any(name != named[0] for name in named):
            return None
        return CallbackRefs(text_of(named[0]) if named else None)

    def _refused_at_the_door(self, raw: Raw) -> Refused:
        if raw.status == _NOT_FOUND:
            # Documented on the fingerprint page: 401 is an expired key, 404 one that does not exist.
            return Refused(ReasonCode.AUTH_FAILED, "the vendor does not know the API key", retryable=False)
        return refusal(raw, hide=[self._settings.secret])


def _model(detector: str) -> str:
    if detector not in Aippim.detectors:
        raise ValueError(f"not a detector of AIPPIM: {detector}")
    return detector.partition("/")[2]


def _usable(value: object) -> str | None:
    """Return an id that can be kept and put in a path; dots alone would leave the path."""
    name = name_of(value)
    if name is None or len(name) > _ID_CHARACTERS or not name.isprintable() or not name.strip("."):
        return None
    return name


def _mac(secret: str, signed: bytes) -> bytes:
    return hmac.digest(secret.encode(), signed, hashlib.sha256)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
