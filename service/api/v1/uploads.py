"""Uploads as they come: a multipart form's field `file`, or a raw body. Nothing is spooled here, or stored."""

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from typing import NoReturn
from urllib.parse import unquote

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from service.api.bodies import declared_bytes
from service.api.problems import pointer
from service.kit.errors import CallerError, Problem

_FIELD = "file"
_RAW_TYPES = ("application/octet-stream", "application/ogg")
_MAX_OTHER_BYTES = 64 * 1024  # of a form, besides its field's
_BOUNDARY = re.compile(rb"[ -~]{0,199}[!-~]")  # RFC 2046 §5.1.1 has 70, and fewer characters
_PARAMETER = re.compile(rb"""; *([^\s=;"]+)[ \t]*=[ \t]*("(?:[^"\\]|\\.)*"|[^;"]*)""")
_EXTENDED = re.compile(rb"(utf-8|iso-8859-1)'[^']*'(\S*)", re.IGNORECASE)
_WORDS = re.compile(r"=\?[^?\s]+\?[bq]\?[^?\s]*\?=(?:\s+=\?[^?\s]+\?[bq]\?[^?\s]*\?=)*", re.IGNORECASE)
_ESCAPED = re.compile(r"%(0[0-9A-F]|1[0-9A-F]|22|7F)")  # what `kit/http/multipart` writes so, and no more


@dataclass(frozen=True, slots=True)
class IncomingUpload:
    """An upload that has begun. `chunks` can be read once; they raise `CallerError` where the form turns out bad."""

    filename: str | None
    chunks: AsyncIterator[bytes]


class _Form:
    """One form as far as it has come in. Its parser pushes; `taken` is what it has pushed since last asked."""

    def __init__(self, boundary: bytes) -> None:
        if _BOUNDARY.fullmatch(boundary) is None:
            _malformed("its Content-Type names no usable boundary")
        self.begun = self.ended = False
        self.filename: str | None = None
        self._other_bytes = 0
        self._pieces: list[bytes] = []
        self._headers: dict[bytes, bytes] = {}
        self._name = self._value = b""
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._part_begin,
                "on_header_field": self._header_field,
                "on_header_value": self._header_value,
                "on_header_end": self._header_end,
                "on_headers_finished": self._headers_finished,
                "on_part_data": self._part_data,
                "on_end": self._end,
            },
        )

    def feed(self, chunk: bytes) -> None:
        """Parse `chunk`. Raise `CallerError`."""
        self._other_bytes += len(chunk)
        try:
            self._parser.write(chunk)
        except FormParserError:
            _malformed("its parts do not conform to RFC 7578")
        if self._other_bytes > _MAX_OTHER_BYTES:
            _malformed("its other fields and headers are too large")

    def taken(self) -> bytes:
        """Return the bytes of the field that came in since the last call."""
        data = b"".join(self._pieces)
        self._pieces.clear()
        return data

    def close(self) -> None:
        """Raise `CallerError` unless the form is complete, with the field in it."""
        if not self.ended:
            _malformed("it ends before its last boundary")
        if not self.begun:
            _refuse(_FIELD, "is required: the audio")

    def _part_begin(self) -> None:
        self._headers = {}

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def _headers_finished(self) -> None:
        given = self._headers.get(b"content-disposition", b"")
        disposition, options = parse_options_header(given)
        if disposition != b"form-data" or b"name" not in options:
            _malformed("one of its parts has no name")
        if (name := _text(options[b"name"])) != _FIELD:
            _refuse(name, f"is not a known field; send the audio in the field `{_FIELD}`")
        if self.begun:
            _refuse(_FIELD, "must be given once")
        self.begun = True
        self.filename = _file_name(given, options)

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        self._pieces.append(data[start:end])
        self._other_bytes -= end - start

    def _end(self) -> None:
        self.ended = True


async def open_upload(request: Request, *, name: str | None, max_bytes: int) -> IncomingUpload:
    """Return the upload as soon as its name is known. Raise `CallerError` 400, 413, 415 or 422.

    Only the announced length is compared with `max_bytes` here; the reader of the chunks counts them.
    """
    if declared_bytes(request) > max_bytes + _MAX_OTHER_BYTES:
        raise CallerError("media_too_large", f"The audio is larger than {max_bytes} bytes.", status=413)
    claimed = request.headers.get("content-type", "")
    media_type, options = parse_options_header(claimed)
    kind = media_type.decode("latin-1")
    if kind == "multipart/form-data":
        return await _open_form(request, options.get(b"boundary", b""))
    if kind.startswith("audio/") or kind in _RAW_TYPES:
        return IncomingUpload(name, request.stream())
    raise CallerError(
        "unsupported_media_type",
        "Send multipart/form-data with a field `file`, or the audio as the raw body: audio/* with ?filename=.",
        status=415,
    )


async def _open_form(request: Request, boundary: bytes) -> IncomingUpload:
    form, stream = _Form(boundary), request.stream()
    async for chunk in stream:
        form.feed(chunk)
        if form.begun:
            break
    else:
        form.close()
    return IncomingUpload(form.filename, _rest(form, stream))


async def _rest(form: _Form, stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield form.taken()
    async for chunk in stream:
        form.feed(chunk)
        yield form.taken()
    form.close()


def _file_name(disposition: bytes, options: Mapping[bytes, bytes]) -> str | None:
    """Return the file's name; `None` if the part has none. `options` are the parameters of `disposition`.

    Clients write it in many ways. RFC 7578 §4.2 wants plain UTF-8 and no `filename*`. Browsers write quotes and line
    ends as `%22`, `%0D`, `%0A` (WHATWG HTML). .NET sends the name twice: as an encoded word of RFC 2047, and as
    `filename*` of RFC 5987.
    """
    extended = _extended(disposition)
    if extended is not None or b"filename" not in options:
        return extended
    plain = _text(options[b"filename"])
    if _WORDS.fullmatch(plain):
        return _from_words(plain)
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), plain)


def _text(raw: bytes) -> str:
    """Return `raw` as UTF-8, as RFC 7578 §5.1 asks for; what is not, byte by byte."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _extended(disposition: bytes) -> str | None:
    """Return the value of `filename*`, if it is there and can be read."""
    for name, value in _PARAMETER.findall(disposition):
        if name.lower() == b"filename*" and (found := _EXTENDED.fullmatch(value.strip(b' \t"'))):
            try:
                return unquote(found[2].decode("ascii"), encoding=found[1].decode(), errors="strict")
            except UnicodeDecodeError:
                return None
    return None


def _from_words(encoded: str) -> str:
    try:
        return str(make_header(decode_header(encoded)))
    except (HeaderParseError, LookupError, ValueError):
        return encoded


def _malformed(reason: str) -> NoReturn:
    raise CallerError("malformed_multipart", f"The form cannot be read: {reason}.", status=400)


def _refuse(name: str, detail: str) -> NoReturn:
    problem = Problem(pointer([name]), detail)
    raise CallerError("invalid_request", "The request is invalid. `errors` lists every problem.", problems=(problem,))
