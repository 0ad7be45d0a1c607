"""Reading what a client sends: a JSON object, a form, or an upload whose bytes are counted and thrown away.

And the duration of a recording, as far as it shows without decoding: exact for PCM, else a guess by its type.
"""

import json
import struct
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

_HEAD_BYTES: Final = 4_096
_MOST_BYTES: Final = 1_048_576
_MOST_FORM_BYTES: Final = 16_384  # a link of a few thousand characters, each written as three
_MOST_FORM_FIELDS: Final = 50
_FORM: Final = b"application/x-www-form-urlencoded"
_FMT: Final = b"fmt "
_CHUNK_HEAD_BYTES: Final = 8
_FMT_BYTES: Final = 16
_USUAL: Final = {"flac": 88_000, "aiff": 176_400, "ogg": 16_000, "opus": 12_000, "webm": 12_000}
_USUAL_ELSE: Final = 16_000  # 128 kbit/s


async def json_object(request: Request) -> dict[str, Any] | None:
    """Return the body as a JSON object; None if it is anything else."""
    try:
        body = json.loads(await _small(request, _MOST_BYTES))
    except (ValueError, RecursionError, ClientDisconnect):
        return None
    return body if isinstance(body, dict) else None


async def _small(request: Request, most_bytes: int) -> bytes:
    """Return the body. Raise `ValueError` as soon as it is larger than an honest one."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most_bytes:
            raise ValueError("too large")
    return bytes(body)


async def form_fields(request: Request) -> dict[str, str] | None:
    """Return the last value of each field of a URL-encoded form; None for a body of another type, or none at all.

    None also for a form that is larger, or has more fields, than any of these vendors' clients sends.
    """
    media_type, _ = parse_options_header(request.headers.get("content-type"))
    if media_type != _FORM:
        return None
    try:
        form = (await _small(request, _MOST_FORM_BYTES)).decode()
        fields = parse_qs(form, keep_blank_values=True, max_num_fields=_MOST_FORM_FIELDS)
    except (ValueError, ClientDisconnect):
        return None
    return {name: values[-1] for name, values in fields.items()}


@dataclass
class ReceivedFile:
    """What is kept of an uploaded file."""

    name: str
    size: int = 0
    head: bytes = b""
    """The first bytes, where a WAV file tells its length."""


async def discarded_upload(request: Request, field: str) -> ReceivedFile | None:
    """Return the file in the multipart form field `field`, its bytes read and dropped; None if there is none.

    None also for a body that is cut short or is not a multipart form (RFC 7578).
    """
    reader = _FormReader(field)
    media_type, options = parse_options_header(request.headers.get("content-type"))
    if media_type != b"multipart/form-data" or not options.get(b"boundary"):
        return None
    try:
        parser = reader.parser(options[b"boundary"])
        async for chunk in request.stream():
            parser.write(chunk)
    except (FormParserError, ClientDisconnect):
        return None
    return reader.upload if reader.complete else None


class _FormReader:
    """Keeps the name and size of one part, whatever else the form holds."""

    def __init__(self, field: str) -> None:
        self.upload: ReceivedFile | None = None
        self.complete = False
        self._field = field.encode()
        self._header = b""
        self._value = b""
        self._inside = False

    def parser(self, boundary: bytes) -> MultipartParser:
        return MultipartParser(
            boundary,
            {
                "on_part_begin": self._part_begin,
                "on_part_data": self._part_data,
                "on_header_field": self._header_field,
                "on_header_value": self._header_value,
                "on_header_end": self._header_end,
                "on_end": self._end,
            },
        )

    def _part_begin(self) -> None:
        self._inside = False

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._inside and self.upload is not None:
            self.upload.size += end - start
            if (wanted := _HEAD_BYTES - len(self.upload.head)) > 0:
                self.upload.head += data[start : min(end, start + wanted)]

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            _, options = parse_options_header(self._value)
            if options.get(b"name") == self._field and b"filename" in options:
                self.upload = ReceivedFile(options[b"filename"].decode(errors="replace"))
                self._inside = True
        self._header = self._value = b""

    def _end(self) -> None:
        self.complete = True


def bytes_per_second(head: bytes, audio_format: str) -> float:
    """Return how many bytes of this recording make a second: by the WAV header, else what is usual for the type."""
    return wav_bytes_per_second(head) or _USUAL.get(audio_format, _USUAL_ELSE)


def wav_bytes_per_second(head: bytes) -> int | None:
    """Return the byte rate that a WAV file's `fmt ` chunk names (RIFF); None if these bytes are no such file."""
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        return None
    at = 12
    while at + _CHUNK_HEAD_BYTES + _FMT_BYTES <= len(head):
        name, size = head[at : at + 4], struct.unpack_from("<I", head, at + 4)[0]
        if name == _FMT:
            return int(struct.unpack_from("<I", head, at + _CHUNK_HEAD_BYTES + 8)[0]) or None
        at += _CHUNK_HEAD_BYTES + size + size % 2
    return None
