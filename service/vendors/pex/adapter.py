"""The request Pex takes, and what its answer achieved. The meaning of a result is in `results`."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar
from urllib.parse import urlencode

from service.detectors.answers import is_success, json_object, mismatch, refusal, retry_after_seconds
from service.detectors.enums import RunStatus
from service.detectors.exchange import Exchange, Failure, NotSent
from service.detectors.objections import failure
from service.detectors.port import Capabilities, Needs, Raw, Refused, RunContext
from service.detectors.reading import Reading
from service.detectors.synchronous import SynchronousAdapter
from service.kit.clock import Clock
from service.kit.system_clock import system_clock
from service.vendors.pex.results import ERROR, failure_text, read_body, status_of
from service.vendors.pex.settings import PexSettings
from service.vendors.pex.token import PexTokens, basic_of, without

_UNAUTHORIZED, _REQUEST_TIMEOUT = 401, 408
_OF_AUDIO = (400, 413, 415, 422)
_CAPABILITIES = Capabilities(
    # Named by the vendor, which adds "and other common" ones. Its shortest is 10 s or 30 s, its longest 15 min: it
    # says so itself where it minds, and nothing is refused for that here.
    formats=frozenset({"mp3", "m4a", "wav", "flac", "aac", "ogg", "webm"}),
    needs=Needs.UPLOAD,
    takes_link=True,
    max_bytes=100 * 1000 * 1000,  # 100 MB, in the smaller of its two meanings
)


class Pex(SynchronousAdapter):
    """The adapter for the AI Song Detector."""

    vendor: str = "pex"
    detectors: Sequence[str] = ("pex",)
    verdict_at: ClassVar[tuple[str, ...]] = ("is_ai",)

    def __init__(self, settings: PexSettings, exchange: Exchange, clock: Clock = system_clock) -> None:
        self._settings = settings
        self._exchange = exchange
        self._base = settings.base_url.rstrip("/")
        basic = basic_of(settings.client_id or "", settings.secret)
        self._secrets = (settings.secret, basic)
        # An eighth of a request's time, twice, an early 401 and a whole request are within any run's lease.
        self._early_seconds = exchange.timeout_seconds / 4
        self._tokens = PexTokens(f"{self._base}/oauth2/token", basic, exchange, clock, self._early_seconds / 2)

    @property
    def secrets(self) -> Sequence[str]:
        """The credentials. A token is cut out of each answer as it comes."""
        return self._secrets

    def capabilities(self, detector: str) -> Capabilities:
        """Return what the detector takes. Raise `ValueError` for another vendor's detector."""
        if detector not in self.detectors:
            raise ValueError(f"not a detector of Pex: {detector}")
        return _CAPABILITIES

    async def submit(self, context: RunContext) -> Raw:
        """Send the audio and return the result, or a refusal of the request or of our credentials.

        Raise `NotSent` or `OutcomeUnknown`.
        """
        return await self._let_in(lambda token: self._detect(context, token))

    async def check_credentials(self) -> Raw:
        """Ask for a link that does not exist: a 400 (§5 of the vendor's page), unless our client is unknown."""
        return await self._let_in(lambda token: self._send_form(token, {}))

    async def _let_in(self, send: Callable[[str], Awaitable[Raw]]) -> Raw:
        """Return the answer to what is sent with a token, or the refusal to give us one; without our secrets.

        A token that is refused is renewed once and the same is sent again: a 401 comes before any analysis.
        """
        token = await self._tokens.token()
        if isinstance(token, Raw):
            return without(token, self._secrets)
        loop = asyncio.get_running_loop()
        began = loop.time()
        raw = without(await send(token), (token, *self._secrets))
        if raw.status != _UNAUTHORIZED:
            return raw
        early = loop.time() - began <= self._early_seconds
        renewed = await self._tokens.token(refused=token)
        if isinstance(renewed, Raw):
            return without(renewed, (token, *self._secrets))
        if not early:
            raise NotSent("the access token was refused, and a new one came too late", Failure.TIMEOUT)
        return without(await send(renewed), (token, renewed, *self._secrets))

    async def _detect(self, context: RunContext, token: str) -> Raw:
        """Return the detector's answer. A link is fetched by the vendor, audio is uploaded."""
        if context.media_url is not None:
            return await self._send_form(token, {"url": context.media_url})
        return await self._exchange.upload(
            f"{self._base}/v1/ai-detector/detect",
            field="file",
            file_name=context.name,
            media_type=context.media_type,
            length=context.media_bytes,
            content=context.read_media(),
            headers={"authorization": f"Bearer {token}"},
        )

    async def _send_form(self, token: str, form: Mapping[str, str]) -> Raw:
        headers = {"authorization": f"Bearer {token}", "content-type": "application/x-www-form-urlencoded"}
        url = f"{self._base}/v1/ai-detector/detect-url"
        return await self._exchange.send("POST", url, headers=headers, content=urlencode(form).encode())

    def parse(self, raw: Raw) -> Reading | Refused:
        """Return the result, or why there is none. Never raise."""
        if not is_success(raw):
            if (of_audio := self._declined(raw)) is not None:
                return of_audio
            found = refusal(raw, hide=self._secrets)
            passes = found.retryable or raw.status == _REQUEST_TIMEOUT
            return replace(found, retryable=True, retry_after_seconds=self._pause(raw)) if passes else found
        body = json_object(raw.body)
        if body is None:
            return mismatch("the answer is not one clear JSON object", retryable=False)
        if status_of(body) == ERROR:
            text = failure_text(body, self._secrets)
            found = failure(text, retryable=True)
            return replace(found, retry_after_seconds=self._pause(raw)) if found.retryable else found
        return read_body(body, self._secrets)

    def _declined(self, raw: Raw) -> Reading | None:
        """Return what the vendor says of the audio in its own words, where it refuses the request for that."""
        body = json_object(raw.body) if raw.status in _OF_AUDIO else None
        if body is None:
            return None
        found = read_body(body, self._secrets)
        return found if found.status is RunStatus.NOT_APPLICABLE else None

    def _pause(self, raw: Raw) -> int:
        """Return the seconds until this run is sent again: what the vendor asks for, and not less than the floor."""
        return max(retry_after_seconds(raw) or 0, math.ceil(self._settings.retry_floor_seconds))
