"""The name of an uploaded file, as the many clients write it into the head of a form's part.

RFC 7578 §4.2 wants plain UTF-8 and no `filename*`. Browsers write quotes and line ends as `%22`, `%0D`, `%0A` (WHATWG
HTML); .NET sends the name twice, as an encoded word of RFC 2047 and as `filename*` of RFC 5987.
"""

import re
from collections.abc import Mapping
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from urllib.parse import unquote

_PARAMETER = re.compile(rb"""; *([^\s=;"]+)[ \t]*=[ \t]*("(?:[^"\\]|\\.)*"|[^;"]*)""")
_EXTENDED = re.compile(rb"(utf-8|iso-8859-1)'[^']*'(\S*)", re.IGNORECASE)
_WORDS = re.compile(r"=\?[^?\s]+\?[bq]\?[^?\s]*\?=(?:\s+=\?[^?\s]+\?[bq]\?[^?\s]*\?=)*", re.IGNORECASE)
_ESCAPED = re.compile(r"%(0[0-9A-F]|1[0-9A-F]|22|7F)")  # what `kit/http/multipart` writes so, and no more


def file_name(disposition: bytes, options: Mapping[bytes, bytes]) -> str | None:
    """Return the file's name; `None` where the part has none. `options` are the parameters of `disposition`."""
    extended = _extended(disposition)
    if extended is not None or b"filename" not in options:
        return extended
    plain = text(options[b"filename"])
    if _WORDS.fullmatch(plain):
        return _from_words(plain)
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), plain)


def text(raw: bytes) -> str:
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
