"""What the stream is told about the audio. Containers say the rest themselves.

Samples without a header, which the stream takes as well, are no audio to us.
Lists: the AsyncAPI description and docs.modulate.ai/api-reference/ai-music-detection/streaming.
"""

from collections.abc import Mapping
from typing import Final

CONTAINERS: Final = frozenset({"wav", "mp3", "ogg", "flac", "webm", "aac", "aiff"})
"""Formats that need no further words. Not mp4, m4a or opus, which only the batch endpoint takes."""

_OTHER_NAMES: Final[Mapping[str, str]] = {"aif": "aiff", "aifc": "aiff", "oga": "ogg", "wave": "wav"}
_BY_TYPE: Final[Mapping[str, str]] = {"mpeg": "mp3", "x-wav": "wav", "x-flac": "flac", "x-aiff": "aiff", "aacp": "aac"}


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
