"""The duration of a recording, as far as it shows without decoding: exact for PCM, else a guess by its type."""

import struct
from typing import Final

_FMT: Final = b"fmt "
_CHUNK_HEAD_BYTES: Final = 8
_FMT_BYTES: Final = 16
_USUAL: Final = {"flac": 88_000, "aiff": 176_400, "ogg": 16_000, "opus": 12_000, "webm": 12_000}
_USUAL_ELSE: Final = 16_000  # 128 kbit/s


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
