"""What bytes are, by what they say themselves: their format and how long they play. Nobody's word is taken for it."""

import asyncio
from collections.abc import Callable
from io import BufferedReader, FileIO
from pathlib import Path
from typing import NamedTuple

from tinytag import TinyTag

HEAD_BYTES = 16 * 1024  # enough to judge by; an ID3 tag with a picture is longer, and is believed
_LONGEST_MS = 2**31 - 1  # 24 days, and what the column holds
_MOST_READS = 200_000  # an honest Ogg of 100 MB takes less than half


class Format(NamedTuple):
    """Our word for a format, its media type and its usual file name ending."""

    word: str
    content_type: str
    extension: str


MP3 = Format("mp3", "audio/mpeg", "mp3")
WAV = Format("wav", "audio/wav", "wav")
FLAC = Format("flac", "audio/flac", "flac")
OGG = Format("ogg", "audio/ogg", "ogg")
M4A = Format("m4a", "audio/mp4", "m4a")
AAC = Format("aac", "audio/aac", "aac")
WEBM = Format("webm", "audio/webm", "webm")
AIFF = Format("aiff", "audio/aiff", "aiff")

# First bytes of an Ogg stream's first packet: Vorbis I §4.2.1, RFC 7845 §5.1, the FLAC-to-Ogg mapping.
_OGG_CODECS = (b"\x01vorbis", b"OpusHead", b"\x7fFLAC")
# Major brands of MP4 with sound (mp4ra.org). Pictures (avif, heic) wear the same container.
_MP4_BRANDS = (
    b"M4A",
    b"M4B",
    b"M4P",
    b"M4V",
    b"F4A",
    b"mp4",
    b"iso",
    b"avc1",
    b"dash",
    b"3gp",
    b"qt  ",
    b"mmp4",
    b"MSNV",
)

# ISO/IEC 11172-3 §2.4.2.3 and 13818-3: bit rates of layer III in kbit/s by version, sample rates in Hz.
_MPEG1, _MPEG2, _MPEG25 = 0b11, 0b10, 0b00
_BITRATES_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_BITRATES_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_SAMPLE_RATES = {
    _MPEG1: (44100, 48000, 32000),
    _MPEG2: (22050, 24000, 16000),
    _MPEG25: (11025, 12000, 8000),
}
_LAYER_3 = 0b01
_ADTS_HEADER_BYTES, _ADTS_SAMPLE_RATES = 7, 13
_ID3_HEADER_BYTES = 10
_TWO_FRAMES_BYTES = 4096


def sniff(head: bytes) -> Format | None:
    """The format of audio that begins with `head` (the first 16 KiB, or all of it); `None` if it is none we know."""
    if head.startswith(b"ID3"):
        return _after_id3(head)
    return _container(head) or _frames(head)


async def duration_ms(path: Path) -> int | None:
    """How long the audio at `path` plays; `None` where its headers do not say, or not credibly."""
    return await asyncio.to_thread(_duration_ms, path)


def _duration_ms(path: Path) -> int | None:
    try:
        with _Bounded(FileIO(path)) as file:
            seconds = TinyTag.get(file_obj=file, tags=False).duration
        milliseconds = round((seconds or 0) * 1000)
    except Exception:  # noqa: BLE001 - a parser before a stranger's bytes may fail in any way
        return None
    return milliseconds if 0 < milliseconds <= _LONGEST_MS else None


class _Bounded(BufferedReader):
    """A file that ends a parser's patience: 100 MB of empty atoms would keep it busy for many seconds."""

    _reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """As always, but not for ever."""
        self._reads += 1
        if self._reads > _MOST_READS:
            raise ValueError("too many parts")
        return super().read(size)


def _container(head: bytes) -> Format | None:
    match head[:4], head[8:12]:
        case (b"RIFF" | b"RF64", b"WAVE"):
            return WAV
        case (b"FORM", b"AIFF" | b"AIFC"):
            return AIFF
        case b"fLaC", _:
            return FLAC
        case b"OggS", _:
            return OGG if _ogg_packet(head).startswith(_OGG_CODECS) else None
        case b"\x1aE\xdf\xa3", _:  # EBML, RFC 8794; the document type is within its short header
            return WEBM if b"\x42\x82\x84webm" in head[:64] else None
    return M4A if head[4:8] == b"ftyp" and head[8:12].startswith(_MP4_BRANDS) else None


def _ogg_packet(head: bytes) -> bytes:
    """What follows the first page's header: 27 bytes, the last of which counts the entries of a table. RFC 3533 §6."""
    return head[27 + head[26] :] if len(head) > 26 else b""  # noqa: PLR2004 - the same 27


def _after_id3(head: bytes) -> Format | None:
    """What an ID3v2 tag stands before (id3.org, ID3v2.4 §3.1 and §3.4: sizes have seven bits a byte)."""
    if len(head) < _ID3_HEADER_BYTES:
        return None
    major, minor, flags, *size = head[3:_ID3_HEADER_BYTES]
    if not 2 <= major <= 4 or minor == 0xFF or max(size) > 0x7F:  # noqa: PLR2004 - the tag's own bounds
        return None
    length = size[0] << 21 | size[1] << 14 | size[2] << 7 | size[3]
    footer = _ID3_HEADER_BYTES if flags & 0x10 else 0
    rest = head[_ID3_HEADER_BYTES + length + footer :].lstrip(b"\0")
    found = _container(rest) or _frames_further_on(rest)
    if found is None and len(head) >= HEAD_BYTES and len(rest) < _TWO_FRAMES_BYTES:
        return MP3  # the tag ends beyond what we look at, and hardly anything else wears one
    return found


def _frames_further_on(data: bytes) -> Format | None:
    """Like `_frames`, but stray bytes may come first: taggers leave such, and second tags."""
    at = data.find(b"\xff")
    while at >= 0:
        if found := _frames(data[at : at + _TWO_FRAMES_BYTES]):
            return found
        at = data.find(b"\xff", at + 1)
    return None


def _frames(data: bytes) -> Format | None:
    data = data.lstrip(b"\0")  # some encoders pad before the first frame
    if _chained(data, _mp3_frame_bytes):
        return MP3
    return AAC if _chained(data, _adts_frame_bytes) else None


def _chained(data: bytes, frame_bytes: Callable[[bytes], int]) -> bool:
    """Whether a frame begins here and another follows where it ends. A lone frame has to be the whole of it."""
    length = frame_bytes(data)
    if not length or len(data) < length:
        return False
    following = data[length:]
    return not following or bool(frame_bytes(following)) or following.startswith((b"TAG", b"APETAGEX"))


def _mp3_frame_bytes(data: bytes) -> int:
    """The length of the layer III frame that begins here, or 0."""
    if len(data) < 4 or data[0] != 0xFF or data[1] & 0xE0 != 0xE0:  # noqa: PLR2004 - eleven bits of sync
        return 0
    version, layer = data[1] >> 3 & 3, data[1] >> 1 & 3
    bitrate, rate, padding = data[2] >> 4, data[2] >> 2 & 3, data[2] >> 1 & 1
    rates = _SAMPLE_RATES.get(version, ())
    if layer != _LAYER_3 or not 0 < bitrate < len(_BITRATES_1) or rate >= len(rates):
        return 0
    if version == _MPEG1:
        return 144_000 * _BITRATES_1[bitrate] // rates[rate] + padding
    return 72_000 * _BITRATES_2[bitrate] // rates[rate] + padding


def _adts_frame_bytes(data: bytes) -> int:
    """The length of the ADTS frame that begins here, or 0. ISO/IEC 13818-7 §6.2."""
    if len(data) < _ADTS_HEADER_BYTES or data[0] != 0xFF or data[1] & 0xF6 != 0xF0:  # noqa: PLR2004 - sync, layer 0
        return 0
    length = (data[3] & 3) << 11 | data[4] << 3 | data[5] >> 5
    return length if data[2] >> 2 & 15 < _ADTS_SAMPLE_RATES and length > _ADTS_HEADER_BYTES else 0
