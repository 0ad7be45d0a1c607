"""A multipart form with one file, streamed, its length known beforehand (RFC 7578)."""

import re
import secrets
from collections.abc import AsyncGenerator, AsyncIterator


class FileForm:
    """The frame around one file. A name cannot break out of its quotes, nor a media type out of its line."""

    def __init__(self, *, field: str, file_name: str, media_type: str) -> None:
        self._boundary = secrets.token_hex(16)
        self._head = (
            f"--{self._boundary}\r\n"
            f'Content-Disposition: form-data; name="{_quoted(field)}"; filename="{_quoted(file_name)}"\r\n'
            f"Content-Type: {_plain(media_type)}\r\n\r\n"
        ).encode()
        self._tail = f"\r\n--{self._boundary}--\r\n".encode()

    def headers(self, length: int) -> dict[str, str]:
        """Return the request's content headers, for a file of `length` bytes."""
        return {
            "content-type": f"multipart/form-data; boundary={self._boundary}",
            "content-length": str(len(self._head) + length + len(self._tail)),
        }

    async def body(self, content: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        """Yield the form's bytes; the file's are read from `content` as they are needed."""
        yield self._head
        async for chunk in content:
            yield chunk
        yield self._tail


def _quoted(text: str) -> str:
    """Return `text` as browsers write it between quotes in a form's part (WHATWG HTML, multipart/form-data)."""
    escaped = re.sub(r'[\x00-\x1f\x7f"]', lambda match: f"%{ord(match[0]):02X}", text)
    return escaped.encode(errors="replace").decode()


def _plain(media_type: str) -> str:
    return re.sub(r"[^\x21-\x7e]", "", media_type) or "application/octet-stream"
