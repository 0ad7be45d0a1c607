"""The query of Modulate's stream: whose it is, and in what form the audio will come.

Written from the stream's specification at docs.modulate.ai. `sample_rate` with a container is ignored: the pages say
both that it is and that it must not be.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from service.sandbox.lengths import bytes_per_second
from service.sandbox.modulate_answers import NOT_PERMITTED
from service.sandbox.settings import SandboxSettings

CONTAINERS: Final = frozenset({"wav", "mp3", "ogg", "flac", "webm", "aac", "aiff"})
_WIDTHS: Final = {"s8": 1, "u8": 1, "mulaw": 1, "alaw": 1} | {
    f"{kind}{bits}{order}": bits // 8
    for kind, sizes in {"s": (16, 24, 32), "u": (16, 24, 32), "f": (32, 64)}.items()
    for bits in sizes
    for order in ("le", "be")
}
_RATES: Final = (8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000)
_CHANNELS: Final = range(1, 9)
_MAGIC: Final = {"wav": b"RIFF", "flac": b"fLaC", "ogg": b"OggS"}
_EXAMPLE: Final = "audio_format=s16le&sample_rate=16000&num_channels=1"


class StreamError(Exception):
    """What ends a stream before its time: the text of the `error` message, then this close code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(code, text)
        self.code = code
        self.text = text


@dataclass(frozen=True)
class Layout:
    """The form of the audio."""

    audio_format: str
    raw_bytes_per_second: int | None = None

    def rate(self, head: bytes) -> float:
        """Bytes in a second: exact for raw audio and WAV, a guess for the rest."""
        return self.raw_bytes_per_second or bytes_per_second(head, self.audio_format)

    def fits(self, head: bytes) -> bool:
        """Whether these first bytes can be of this form, where that shows."""
        magic = _MAGIC.get(self.audio_format, b"")
        return head[: len(magic)] == magic[: len(head)]


def check_key(settings: SandboxSettings, query: Mapping[str, str]) -> None:
    """Raises StreamError for a stranger."""
    if not hmac.compare_digest(query.get("api_key", "").encode(), settings.api_key.encode()):
        if settings.modulate_guides_errors:
            raise StreamError(4001, "Invalid or missing API key.")
        raise StreamError(4003, NOT_PERMITTED)


def layout(query: Mapping[str, str]) -> Layout:
    """The form that the query declares. Raises StreamError 1003 for one that nobody knows."""
    declared, rate, channels = (query.get(name) for name in ("audio_format", "sample_rate", "num_channels"))
    if declared is None:
        if rate or channels:
            raise StreamError(1003, "sample_rate and num_channels require audio_format to be specified")
        raise StreamError(1003, f"audio_format query parameter is required. Example: {_EXAMPLE}")
    if declared in CONTAINERS:
        return Layout(declared)
    if declared not in _WIDTHS:
        valid = sorted(CONTAINERS | _WIDTHS.keys())
        raise StreamError(1003, f"Invalid audio_format='{declared}'. Valid values: {valid}")
    if rate is None or channels is None:
        raise StreamError(1003, "Raw audio formats require sample_rate and num_channels query parameters")
    return Layout(declared, _raw_rate(declared, rate, channels))


def _raw_rate(declared: str, rate: str, channels: str) -> int:
    if rate not in map(str, _RATES):
        raise StreamError(1003, f"Invalid sample_rate={rate}. Valid values: {list(_RATES)}")
    if channels not in map(str, _CHANNELS):
        raise StreamError(1003, f"Invalid num_channels={channels}. Must be between 1 and 8")
    return _WIDTHS[declared] * int(rate) * int(channels)
