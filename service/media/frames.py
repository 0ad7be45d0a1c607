"""The frames of MP3 and ADTS: where one ends, and how long they play.

Nothing else says where such a stream begins, and no header how long it is: so its frames are counted.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple, Protocol

from service.media.lengths.bytes import Bytes

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
# ISO/IEC 14496-3 §1.6.3.4
_ADTS_SAMPLE_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
_ADTS_BLOCK_SAMPLES = 1024

HEADER_BYTES = 7  # of the longer header of the two
_CHAIN = 3  # so many frames in a row are no accident


class Frame(NamedTuple):
    """A frame by its header. Frames of one stream have the same `kind`."""

    length: int
    samples: int
    rate: int
    kind: int


ReadFrame = Callable[[bytes], Frame | None]
"""The frame whose header begins the given bytes (`HEADER_BYTES` of them); `None` if there is none."""


class Sliced(Protocol):
    """Bytes, or what counts each look at them."""

    def __getitem__(self, part: slice, /) -> bytes:
        """Return the bytes of `part`."""


def is_chained(data: Sliced, at: int, read: ReadFrame, *, ends: Callable[[int], bool] = lambda _: False) -> bool:
    """Return True if frames of one kind follow each other from `at` on: three, or fewer where `ends` says so."""
    kind = None
    for _ in range(_CHAIN):
        frame = read(data[at : at + HEADER_BYTES])
        if frame is None or kind not in (None, frame.kind):
            return False
        kind, at = frame.kind, at + frame.length
        if ends(at):
            return True
    return True


def mp3_frame(header: bytes) -> Frame | None:
    """Return the layer III frame that begins here."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:  # noqa: PLR2004 - eleven bits of sync
        return None
    return _layer_3(header[1], header[2])


@lru_cache(maxsize=1024)
def _layer_3(first: int, second: int) -> Frame | None:
    version, layer = first >> 3 & 3, first >> 1 & 3
    bitrate, rate, padding = second >> 4, second >> 2 & 3, second >> 1 & 1
    rates = _SAMPLE_RATES.get(version, ())
    if layer != _LAYER_3 or not 0 < bitrate < len(_BITRATES_1) or rate >= len(rates):
        return None
    kind = version << 2 | rate
    if version == _MPEG1:
        return Frame(144_000 * _BITRATES_1[bitrate] // rates[rate] + padding, 1152, rates[rate], kind)
    return Frame(72_000 * _BITRATES_2[bitrate] // rates[rate] + padding, 576, rates[rate], kind)


def adts_frame(header: bytes) -> Frame | None:
    """Return the ADTS frame that begins here. ISO/IEC 13818-7 §6.2."""
    if len(header) < HEADER_BYTES or header[0] != 0xFF or header[1] & 0xF6 != 0xF0:  # noqa: PLR2004 - sync, layer 0
        return None
    rate = header[2] >> 2 & 15
    length = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
    if rate >= len(_ADTS_SAMPLE_RATES) or length <= HEADER_BYTES:
        return None
    fixed = int.from_bytes(header[:4]) >> 4  # §6.2.1: the same in every frame of a stream
    return Frame(length, _ADTS_BLOCK_SAMPLES * ((header[6] & 3) + 1), _ADTS_SAMPLE_RATES[rate], fixed)


_ID3_HEADER_BYTES = 10
_LAME_DELAYS_AT = 21  # from the encoder's name on, in the tag that LAME and Lavc write


def mp3_seconds(data: Bytes, at: int = 0) -> float | None:
    """Return how long the whole frames from `at` on play. A first frame that only describes the stream is silent."""
    first = _next_frame(data, at, mp3_frame)
    if first is None or (frame := mp3_frame(data[first : first + HEADER_BYTES])) is None:
        return None
    head = data[first : first + min(frame.length, 400)]
    tag = max(head.find(b"Xing"), head.find(b"Info"))
    if tag < 0:
        return _seconds(data, first, mp3_frame)
    seconds = _seconds(data, first + frame.length, mp3_frame)
    return None if seconds is None else seconds - _unheard(head[tag:], frame, seconds)


def adts_seconds(data: Bytes, at: int = 0) -> float | None:
    """Return how long the whole frames from `at` on play."""
    return _seconds(data, at, adts_frame)


def _seconds(data: Bytes, at: int, read: ReadFrame) -> float | None:
    samples: dict[int, int] = {}
    begin = _next_frame(data, at, read)
    while begin is not None:
        at = begin
        while (frame := read(data[at : at + HEADER_BYTES])) is not None and at + frame.length <= len(data):
            samples[frame.rate] = samples.get(frame.rate, 0) + frame.samples
            at += frame.length
        begin = _next_frame(data, max(at, begin + 1), read)
    return sum(count / rate for rate, count in samples.items()) or None


def _next_frame(data: Bytes, at: int, read: ReadFrame) -> int | None:
    """Return where frames go on at `at` or behind it. All else is skipped: tags, stray bytes, zeros."""

    def ends(at: int) -> bool:
        return at >= len(data) or data[at : at + 3] == b"TAG"

    while (at := data.find(b"\xff", _behind_tag(data, at))) >= 0:
        if is_chained(data, at, read, ends=ends):
            return at
        at += 1
    return None


def _behind_tag(data: Bytes, at: int) -> int:
    if data[at : at + 3] != b"ID3":
        return at
    size = data[at + 6 : at + _ID3_HEADER_BYTES]
    return at + _ID3_HEADER_BYTES + sum((byte & 0x7F) << 7 * (3 - n) for n, byte in enumerate(size))


def _unheard(tag: bytes, frame: Frame, seconds: float) -> float:
    """Return what the encoder added before the music, and behind it if nothing is missing. Players leave it out."""
    flags = int.from_bytes(tag[4:8])
    name = 8 + sum(size for bit, size in ((1, 4), (2, 4), (4, 100), (8, 4)) if flags & bit)
    delays = tag[name + _LAME_DELAYS_AT : name + _LAME_DELAYS_AT + 3]
    if len(delays) < 3 or tag[name : name + 4] not in (b"LAME", b"Lavc", b"Lavf"):  # noqa: PLR2004 - twice twelve bits
        return 0
    before, behind = delays[0] << 4 | delays[1] >> 4, (delays[1] & 15) << 8 | delays[2]
    is_whole = flags & 1 and round(seconds * frame.rate) >= int.from_bytes(tag[8:12]) * frame.samples
    return (before + (behind if is_whole else 0)) / frame.rate
