"""What bytes are, by what they say themselves. No name and no claimed type is taken for it."""

import asyncio
from collections.abc import Callable
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import NamedTuple

from service.media.frames import HEADER_BYTES, ReadFrame, adts_frame, adts_seconds, is_chained, mp3_frame, mp3_seconds
from service.media.lengths.bytes import Bytes
from service.media.lengths.chunks import aiff_seconds, wav_seconds
from service.media.lengths.mp4 import mp4_seconds
from service.media.lengths.xiph import flac_seconds, ogg_seconds

HEAD_BYTES = 64 * 1024  # enough to judge by; an ID3 tag with a picture is longer, and is believed


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

_ID3_HEADER_BYTES = 10
_APE_HEADER_BYTES, _APE_HAS_HEADER = 32, 0x8000_0000
_TWO_FRAMES_BYTES = 4096
_STRAY_BYTES = 16 * 1024  # before the first frame: a frame cut in two is half of that at most
# What these begin holds sound only in pieces, or other things beside it: frames somewhere in it make it no MP3.
_FOREIGN = (
    *(b"RIFF", b"FORM", b"OggS", b"fLaC", b"\x1aE\xdf\xa3", b"FLV\x01", b"\x30\x26\xb2\x75"),
    *(b"PK", b"Rar!", b"7z\xbc\xaf", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd"),
    *(b"%PDF", b"\x89PNG", b"GIF8", b"\xff\xd8\xff", b"MZ", b"\x7fELF", b"<", b"{"),
)


def sniff(head: bytes) -> Format | None:
    """Return the format of audio that begins with `head` (the first `HEAD_BYTES`, or all of it), if we know it.

    Frames of MP3 and ADTS may begin anywhere near the start: files are joined and cut in the middle of one, and
    taggers leave things before the first.
    """
    if head.startswith(b"ID3"):
        return _after_id3(head)
    return _container(head) or _frames(head) or _frames_after_stray_bytes(head)


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
    """Return what follows the first page's header: 27 bytes, the last counts the entries of a table. RFC 3533 §6."""
    return head[27 + head[26] :] if len(head) > 26 else b""  # noqa: PLR2004 - the same 27


def _after_id3(head: bytes) -> Format | None:
    """Return what follows an ID3v2 tag (id3.org, ID3v2.4 §3.1 and §3.4: sizes have seven bits a byte)."""
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
    """Find frames as `_frames` does, but stray bytes may come first: taggers leave such, and second tags."""
    at = data.find(b"\xff")
    while at >= 0:
        if found := _frames(data[at : at + _TWO_FRAMES_BYTES]):
            return found
        at = data.find(b"\xff", at + 1)
    return None


def _frames_after_stray_bytes(head: bytes) -> Format | None:
    """Find frames as `_frames` does, but anything may come first, and so three frames have to follow each other."""
    begin = _behind_ape(head)
    while begin < len(head) and head[begin] == 0:
        begin += 1
    if head[begin:].startswith(_FOREIGN) or head[4:8] == b"ftyp":
        return None
    at = head.find(b"\xff", begin)
    while 0 <= at <= begin + _STRAY_BYTES:
        for read, found in ((mp3_frame, MP3), (adts_frame, AAC)):
            if is_chained(head, at, read):
                return found
        at = head.find(b"\xff", at + 1)
    return None


def _behind_ape(head: bytes) -> int:
    """Return the end of an APEv2 tag at the start: its size leaves out the header that stands here."""
    if not head.startswith(b"APETAGEX"):
        return 0
    has_header = int.from_bytes(head[20:24], "little") & _APE_HAS_HEADER
    return int.from_bytes(head[12:16], "little") + (_APE_HEADER_BYTES if has_header else 0)


def _frames(data: bytes) -> Format | None:
    data = data.lstrip(b"\0")  # some encoders pad before the first frame
    if _chained(data, mp3_frame):
        return MP3
    return AAC if _chained(data, adts_frame) else None


def _chained(data: bytes, read: ReadFrame) -> bool:
    """Return True if a frame begins here and another where it ends. A lone frame has to be the whole of it."""
    frame = read(data[:HEADER_BYTES])
    if frame is None or len(data) < frame.length:
        return False
    following = data[frame.length :]
    return not following or read(following[:HEADER_BYTES]) is not None or following.startswith((b"TAG", b"APETAGEX"))


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
