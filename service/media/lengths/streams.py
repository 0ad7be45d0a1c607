"""MP3 and ADTS: no header says how long they are, so their frames are counted."""

from service.media.frames import HEADER_BYTES, Frame, ReadFrame, adts_frame, is_chained, mp3_frame
from service.media.lengths.bytes import Bytes

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
