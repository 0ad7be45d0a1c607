"""A JSON object with one long member: the audio in base64, encoded as it streams, the length known beforehand."""

import base64
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping


class AudioJson:
    """The object around the audio: `fields`, and the audio as `audio_data`."""

    def __init__(self, fields: Mapping[str, object]) -> None:
        known = json.dumps(fields)[1:-1]
        self._head = ("{" + (known + ", " if known else "") + '"audio_data": "').encode()
        self._tail = b'"}'

    def headers(self, length: int) -> dict[str, str]:
        """The request's content headers, for audio of `length` bytes (RFC 4648 §4: four letters for three bytes)."""
        encoded = 4 * -(-length // 3)
        return {
            "content-type": "application/json",
            "content-length": str(len(self._head) + encoded + len(self._tail)),
        }

    async def body(self, content: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        """The object's bytes, the audio's taken from `content` as they are asked for."""
        yield self._head
        rest = b""
        async for chunk in content:
            data = rest + chunk
            whole = len(data) - len(data) % 3
            yield base64.b64encode(data[:whole])
            rest = data[whole:]
        yield base64.b64encode(rest)
        yield self._tail
