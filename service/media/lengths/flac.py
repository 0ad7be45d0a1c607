"""FLAC (RFC 9639): each frame says where it stands, so the last one tells how long the file plays."""

from typing import NamedTuple

from service.media.lengths.bytes import Bytes

_STREAMINFO = 0
_TAIL_BYTES = 256 * 1024  # several frames of the largest usual size
_NEIGHBOURS = 6  # a frame's end is sought among so many sync codes that follow it
_SUMMED_IN_A_STEP = 16  # bytes that a check sum takes in while a step elsewhere is done


class _Frame(NamedTuple):
    at: int
    first_sample: int
    samples: int


def flac_seconds(data: Bytes, at: int = 0) -> float | None:
    """Return how long the whole frames play. `at` is where the stream's marker stands."""
    begin, info = _metadata(data, at)
    if info is None:
        return None
    block, rate = int.from_bytes(info[0:2]), int.from_bytes(info[10:13]) >> 4
    end = len(data) - (128 if data[len(data) - 128 : len(data) - 125] == b"TAG" else 0)
    first = _frame(data, begin, block)
    if first is None or not rate:
        return None
    last = _last_frame(data, first, end, block)
    samples = last.first_sample - first.first_sample
    if end - last.at <= _TAIL_BYTES and _crc16(data[last.at : end]) == 0:
        samples += last.samples
    return samples / rate if samples > 0 else None


def _metadata(data: Bytes, at: int) -> tuple[int, bytes | None]:
    """Return where the frames begin, and what the stream says of itself."""
    at, info = at + 4, None
    while True:
        kind, size = data[at], int.from_bytes(data[at + 1 : at + 4])
        if kind & 0x7F == _STREAMINFO:
            info = data[at + 4 : at + 4 + size]
        at += 4 + size
        if kind & 0x80:
            return at, info


def _last_frame(data: Bytes, first: _Frame, end: int, block: int) -> _Frame:
    """Return the last frame that a whole one stands before: its check sum says that it begins there."""
    sync, at = data[first.at : first.at + 2], max(first.at, end - _TAIL_BYTES)
    frames: list[_Frame] = []
    while (at := data.find(sync, at, end)) >= 0:
        if (frame := _frame(data, at, block)) is not None:
            frames.append(frame)
        at += 1
    for n in range(len(frames) - 1, 0, -1):
        for before in reversed(frames[max(0, n - _NEIGHBOURS) : n]):
            data.take((frames[n].at - before.at) // _SUMMED_IN_A_STEP)
            if _crc16(data[before.at : frames[n].at]) == 0:
                return frames[n]
    return first


def _frame(data: Bytes, at: int, block: int) -> _Frame | None:
    """Return the frame whose header stands at `at` (RFC 9639 §9.1), or `None`. `block` is the stream's block size."""
    header = data[at : at + 16]
    if len(header) < 6 or header[0] != 0xFF or header[1] & 0xFE != 0xF8:  # noqa: PLR2004 - fifteen bits of sync
        return None
    coded, length = _coded_number(header[4:])
    size_code, rate_code = header[2] >> 4, header[2] & 15
    place = 4 + length
    extra = {6: 1, 7: 2}.get(size_code, 0)
    samples = _block_samples(size_code, header[place : place + extra])
    place += extra + {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    if not length or not samples or place >= len(header) or _crc8(header[:place]) != header[place]:
        return None
    return _Frame(at, coded if header[1] & 1 else coded * block, samples)


def _coded_number(data: bytes) -> tuple[int, int]:
    """Return a number written as UTF-8 writes them, up to 36 bits, and its length; 0, 0 if it is none."""
    ones = 8 - (data[0] ^ 0xFF).bit_length()
    if ones == 0:
        return data[0], 1
    if ones in (1, 8) or len(data) < ones or any(byte & 0xC0 != 0x80 for byte in data[1:ones]):  # noqa: PLR2004
        return 0, 0
    number = data[0] & (0x7F >> ones)
    for byte in data[1:ones]:
        number = number << 6 | byte & 0x3F
    return number, ones


def _block_samples(code: int, extra: bytes) -> int:
    """Return the samples of a block. RFC 9639 §9.1.1."""
    if extra:
        return int.from_bytes(extra) + 1
    if code == 1:
        return 192
    return 144 << code if 2 <= code <= 5 else (1 << code if code >= 8 else 0)  # noqa: PLR2004 - the table's own


def _table(polynomial: int, bits: int) -> list[int]:
    found = []
    for byte in range(256):
        value = byte << bits - 8
        for _ in range(8):
            value = value << 1 ^ (polynomial if value >> bits - 1 & 1 else 0)
        found.append(value & (1 << bits) - 1)
    return found


_CRC8, _CRC16 = _table(0x07, 8), _table(0x8005, 16)


def _crc8(data: bytes) -> int:
    value = 0
    for byte in data:
        value = _CRC8[value ^ byte]
    return value


def _crc16(data: bytes) -> int:
    """Return the check sum; 0 over a whole frame with its own."""
    value = 0
    for byte in data:
        value = value << 8 & 0xFF00 ^ _CRC16[value >> 8 ^ byte]
    return value
