"""What the stream is told about the audio. Container formats say the rest themselves, raw ones cannot.

Lists: the AsyncAPI description and docs.modulate.ai/api-reference/ai-music-detection/streaming.
"""

from collections.abc import Mapping
from typing import Final

CONTAINERS: Final = frozenset({"wav", "mp3", "ogg", "flac", "webm", "aac", "aiff"})
"""Formats that need no further words. Not mp4, m4a or opus, which only the batch endpoint takes."""

RAW: Final = frozenset(
    {
        *("s8", "s16le", "s16be", "s24le", "s24be", "s32le", "s32be"),
        *("u8", "u16le", "u16be", "u24le", "u24be", "u32le", "u32be"),
        *("f32le", "f32be", "f64le", "f64be", "mulaw", "alaw"),
    }
)
"""Samples without a header."""

SAMPLE_RATES: Final = (8000, 11025, 16000, 22050, 32000, 44100, 48000, 96000)
_MOST_CHANNELS: Final = 8
_OTHER_NAMES: Final[Mapping[str, str]] = {"aif": "aiff", "aifc": "aiff", "oga": "ogg", "wave": "wav"}
_BY_TYPE: Final[Mapping[str, str]] = {"mpeg": "mp3", "x-wav": "wav", "x-flac": "flac", "x-aiff": "aiff", "aacp": "aac"}


def stream_format(
    name: str, media_type: str, *, sample_rate: int | None = None, num_channels: int | None = None
) -> dict[str, str]:
    """The query that describes audio called `name`, else of `media_type` (`audio/…`).

    Rate (Hz) and channels are told for raw audio only: beside a container they "must not be specified". Raises
    `ValueError` for audio the stream does not take, and for raw audio whose rate or channels are missing.
    """
    ending = name.rpartition(".")[2].lower()
    kind = media_type.partition(";")[0].strip().lower().removeprefix("audio/")
    known = [_OTHER_NAMES.get(ending, ending), _BY_TYPE.get(kind, kind)]
    found = next((word for word in known if word in CONTAINERS or word in RAW), None)
    if found is None:
        raise ValueError(f"the stream does not take {media_type}")
    if found in CONTAINERS:
        return {"audio_format": found}
    if sample_rate not in SAMPLE_RATES or num_channels is None or not 1 <= num_channels <= _MOST_CHANNELS:
        raise ValueError(f"{found} is raw audio: its sample rate or its channels are missing, or not taken")
    return {"audio_format": found, "sample_rate": str(sample_rate), "num_channels": str(num_channels)}
