"""The two ways Modulate takes audio, and what its answers achieved. The meaning of a result is in `results`."""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, ClassVar, Final
from urllib.parse import quote

from yarl import URL

from service.detectors.answers import is_success, json_object, mismatch
from service.detectors.exchange import Exchange, Failure, NotSent, Redactor, no_redaction, redactor_for
from service.detectors.port import Capabilities, Needs, Raw, Refused, RunContext
from service.detectors.reading import Reading
from service.detectors.synchronous import SynchronousAdapter
from service.kit.clock import Clock
from service.kit.system_clock import system_clock
from service.vendors.modulate.messages import CONTENT_TYPE, GOING_ON, is_streamed, is_window, read_stream
from service.vendors.modulate.refusals import declined, refused
from service.vendors.modulate.results import read_batch
from service.vendors.modulate.schema import lacking
from service.vendors.modulate.settings import ModulateSettings
from service.vendors.modulate.stream import PartialResults, converse

_BATCH, _STREAM = "modulate", "modulate/streaming"
_BATCH_PATH = "/api/velma-2-ai-music-detection-batch"
_STREAM_PATH = "/api/velma-2-ai-music-detection-streaming"
# Lists: the AsyncAPI description and docs.modulate.ai/api-reference/ai-music-detection/streaming. Samples without a
# header, which the stream takes as well, are no audio to us.
CONTAINERS: Final = frozenset({"wav", "mp3", "ogg", "flac", "webm", "aac", "aiff"})
"""Formats that need no further words. Not mp4, m4a or opus, which only the batch endpoint takes."""

_OTHER_NAMES: Final[Mapping[str, str]] = {"aif": "aiff", "aifc": "aiff", "oga": "ogg", "wave": "wav"}
_BY_TYPE: Final[Mapping[str, str]] = {"mpeg": "mp3", "x-wav": "wav", "x-flac": "flac", "x-aiff": "aiff", "aacp": "aac"}
# Up to what ends a query's value, however often the address was escaped (RFC 3986 §2.1).
_IN_ADDRESS: Final = re.compile(rb"(api_key(?:=|%(?:25)*3[Dd]))[^&\s\"'<>\\]+")
_CAPABILITIES: Mapping[str, Capabilities] = {
    _BATCH: Capabilities(
        # Documented besides: .mp4 and .opus, which are m4a and ogg by our words.
        formats=frozenset({"aac", "flac", "m4a", "mp3", "ogg", "wav"}),
        needs=Needs.UPLOAD,
        max_bytes=100 * 1000 * 1000,  # 100 MB, in the smaller of its two meanings
    ),
    _STREAM: Capabilities(formats=CONTAINERS, needs=Needs.UPLOAD),  # no size is documented
}
_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
_STREAM_HEADERS = {"content-type": CONTENT_TYPE}


class Modulate(SynchronousAdapter):
    """The adapter for Velma 2's batch endpoint and its stream.

    Of a stream the settings' `timeout_seconds` spans everything from the name look-up to the last message, and
    `connect_seconds` bounds the connection.
    """

    vendor: str = "modulate"
    detectors: Sequence[str] = (_BATCH, _STREAM)
    verdict_at: ClassVar[tuple[str, ...]] = ("primary_verdict",)

    def __init__(
        self,
        settings: ModulateSettings,
        exchange: Exchange,
        clock: Clock = system_clock,
        *,
        connect_seconds: float = 5.0,
    ) -> None:
        self._settings = settings
        self._exchange = exchange
        self._clock = clock
        self._connect_seconds = connect_seconds
        self._base = settings.base_url.rstrip("/")
        self._headers = {"x-api-key": settings.secret}
        self._redact = _redactor_of(settings.secret, self._base)

    @property
    def secrets(self) -> Sequence[str]:
        """The key."""
        return (self._settings.secret,)

    def lacks(self, parsed: Reading, bodies: Sequence[Mapping[str, Any]]) -> str | None:
        """Return what is missing of the schema, which requires all of its members; our own doubt needs them too."""
        del parsed  # it does not tell what is missing from what is null
        return lacking(bodies)

    def capabilities(self, detector: str) -> Capabilities:
        """Return what the detector takes. Raise `ValueError` for another vendor's detector."""
        if detector not in _CAPABILITIES:
            raise ValueError(f"not a detector of Modulate: {detector}")
        return _CAPABILITIES[detector]

    async def submit(self, context: RunContext) -> Raw:
        """Send the audio and return the result, or why there is none. Raise `NotSent` or `OutcomeUnknown`.

        A stream's answer has its close code as status and its messages, one a line, as body. If the handshake was
        refused, it is that HTTP answer.
        """
        if context.detector == _STREAM:
            return await self._stream(context)
        return await self._upload(context.name, context.media_type, context.media_bytes, context.read_media())

    async def check_credentials(self) -> Raw:
        """Send an empty file: a 400, unless the key is unknown. There is no request for that alone."""
        return await self._upload("empty.wav", "audio/wav", 0, _nothing())

    def parse(self, raw: Raw) -> Reading | Refused:
        """Return the result, or why there is none. Never raise."""
        if is_streamed(raw):
            return read_stream(raw, self._settings)
        if not is_success(raw):
            return declined(refused(raw, [self._settings.secret]))
        body = json_object(raw.body)
        if body is None:
            return mismatch("the answer is not one clear JSON object", retryable=False)
        return read_batch(body, self._settings)

    async def _upload(self, name: str, media_type: str, length: int, content: AsyncIterator[bytes]) -> Raw:
        """Send the batch request. The vendor picks the decoder by the ending of the file's name."""
        return await self._exchange.upload(
            f"{self._base}{_BATCH_PATH}",
            field="upload_file",
            file_name=name,
            media_type=media_type,
            length=length,
            content=content,
            headers=self._headers,
        )

    async def _stream(self, context: RunContext) -> Raw:
        address = self._stream_address(context)
        on_partial = context.on_partial

        async def pass_on(lines: list[bytes], first: int) -> None:
            part = self._raw(GOING_ON, _STREAM_HEADERS, lines)
            parsed = read_stream(part, self._settings, first)
            if on_partial is not None and isinstance(parsed, Reading):
                await on_partial(part, parsed)

        partial_results = PartialResults(pass_on if on_partial else None, context.run_id)

        def on_message(line: bytes) -> None:
            if is_window(line):
                partial_results.add(line)

        async with partial_results:
            answer = await converse(
                address,
                context.read_media(),
                on_message,
                timeout_seconds=self._settings.timeout_seconds,
                connect_seconds=self._connect_seconds,
            )
        headers = _STREAM_HEADERS if answer.headers is None else answer.headers
        return self._raw(answer.status, headers, answer.lines)

    def _raw(self, status: int, headers: Mapping[str, str], lines: list[bytes]) -> Raw:
        """Return the answer as it came, but without our key."""
        return Raw(status, headers, self._redact(b"\n".join(lines)), self._clock())

    def _stream_address(self, context: RunContext) -> URL:
        """Return the stream's address for this audio, with the key in it."""
        settings = self._settings
        query = stream_format(context.name, context.media_type)
        if context.sandbox_name is not None:
            query["sandbox_name"] = context.sandbox_name
        address = _web_socket(f"{self._base}{_STREAM_PATH}")
        if address is None:
            raise NotSent("the address of the vendor cannot be read", Failure.BAD_REQUEST)
        return address.update_query({"api_key": settings.secret, **query})


def stream_format(name: str, media_type: str) -> dict[str, str]:
    """Return the query that describes audio called `name`, else of `media_type` (`audio/…`).

    Raise `ValueError` for audio the stream does not take.
    """
    ending = name.rpartition(".")[2].lower()
    kind = media_type.partition(";")[0].strip().lower().removeprefix("audio/")
    known = [_OTHER_NAMES.get(ending, ending), _BY_TYPE.get(kind, kind)]
    found = next((word for word in known if word in CONTAINERS), None)
    if found is None:
        raise ValueError(f"the stream does not take {media_type}")
    return {"audio_format": found}


def _redactor_of(key: str, base_url: str) -> Redactor:
    """Return what takes `key` out of an answer: as it is, escaped, and wherever an address names it.

    The stream's address holds the key, and a peer may repeat the address.
    """
    redactors = [redactor_for(form, base_url) for form in sorted({key, quote(key, safe="")})]

    def redact(body: bytes) -> bytes:
        for each in redactors:
            body = each(body)
        return _IN_ADDRESS.sub(rb"\1[key]", body)

    return redact if key else no_redaction


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""


def _web_socket(url: str) -> URL | None:
    """Return the address with `ws` for `http`, or `None` if it cannot be read."""
    try:
        address = URL(url)
        return address.with_scheme(_SCHEMES[address.scheme])
    except (ValueError, KeyError):
        return None
