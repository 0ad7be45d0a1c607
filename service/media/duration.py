"""The duration of a stored file. Null is an honest answer; a length that the bytes do not prove is not."""

import asyncio
from collections.abc import Callable
from mmap import ACCESS_READ, mmap
from pathlib import Path

from service.media.lengths.bytes import Bytes
from service.media.lengths.chunks import aiff_seconds, wav_seconds
from service.media.lengths.flac import flac_seconds
from service.media.lengths.mp4 import mp4_seconds
from service.media.lengths.ogg import ogg_seconds
from service.media.lengths.streams import adts_seconds, mp3_seconds
from service.media.probe import AAC, AIFF, FLAC, M4A, MP3, OGG, WAV, Format

_LONGEST_MS = 2**31 - 1  # 24 days, and what the column holds


def _flac(data: Bytes) -> float | None:
    """Measure a stream that may stand behind a tag that is not its own."""
    return flac_seconds(data, max(0, data.find(b"fLaC")))


_COUNTING: dict[Format, Callable[[Bytes], float | None]] = {
    MP3: mp3_seconds,
    AAC: adts_seconds,
    WAV: wav_seconds,
    AIFF: aiff_seconds,
    FLAC: _flac,
    OGG: ogg_seconds,
    M4A: mp4_seconds,
}


async def duration_ms(path: Path, kind: Format) -> int | None:
    """Return how long the audio at `path` plays, by the bytes that are there; `None` where they do not say."""
    return await asyncio.to_thread(_duration_ms, path, kind)


def _duration_ms(path: Path, kind: Format) -> int | None:
    count = _COUNTING.get(kind)
    if count is None:
        return None
    try:
        with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
            milliseconds = round((count(Bytes(data)) or 0) * 1000)
    except Exception:  # noqa: BLE001 - a reader before a stranger's bytes may fail in any way
        return None
    return milliseconds if 0 < milliseconds <= _LONGEST_MS else None
