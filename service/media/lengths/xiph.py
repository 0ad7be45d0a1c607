"""FLAC (RFC 9639) and Ogg (RFC 3533): what plays is said by the frames and pages that are there.

Each frame of FLAC says where it begins, so the last one tells how long the file plays. Each page of Ogg says how many
samples are done at its end; pages that are not there add nothing.
"""

from dataclasses import dataclass, field
from statistics import median
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


_PAGE_HEADER_BYTES = 27
_BEGINS = 2  # the flag of a stream's first page
_NOTHING_ENDS = (1 << 64) - 1
_OPUS_RATE, _OPUS_PACKET = 48_000, 5_760  # RFC 7845 §4, and 120 ms of it
_FLAC_INFO_AT = 17  # of the FLAC-to-Ogg mapping's first packet


@dataclass(slots=True)
class _Stream:
    """One logical stream. `most` is what a packet can hold at most: a page that claims more is not believed."""

    rate: int
    most: int
    unheard: int = 0
    reached: int | None = None
    number: int = 0
    counted: list[int] = field(default_factory=list)
    uncounted: int = 0
    packets: int = 0

    @property
    def seconds(self) -> float:
        """Return how long it plays. A page whose beginning is not known counts like the others."""
        usual = median(self.counted) if self.counted else 0
        return max(0.0, sum(self.counted) + usual * self.uncounted - self.unheard) / self.rate

    def take(self, number: int, granule: int, packets: int) -> None:
        """Count a page. Raises `ValueError` where it claims what it cannot hold."""
        self.packets += packets
        if granule in (_NOTHING_ENDS, 0):
            return
        came = granule - (self.reached or 0)
        if 0 <= came <= self.packets * self.most and (self.reached is None or number == self.number + 1):
            self.counted.append(came)
        elif self.reached is not None and number == self.number + 1:
            raise ValueError("a page that claims more than it holds")
        else:
            self.uncounted += 1  # it does not begin at nought, or pages before it are missing
        self.reached, self.packets = granule, 0


@dataclass(slots=True)
class _Link:
    """Streams that play at the same time."""

    streams: dict[int, _Stream | None] = field(default_factory=dict)
    has_begun: bool = False

    @property
    def seconds(self) -> float:
        return max((stream.seconds for stream in self.streams.values() if stream), default=0)


def ogg_seconds(data: Bytes) -> float | None:
    """Return how long the whole pages play. Links of a chain play one after the other."""
    links, at = [_Link()], 0
    while (at := data.find(b"OggS", at)) >= 0:
        header = data[at : at + _PAGE_HEADER_BYTES]
        table = data[at + _PAGE_HEADER_BYTES : at + _PAGE_HEADER_BYTES + (header[26] if len(header) > 26 else 0)]  # noqa: PLR2004
        body = at + _PAGE_HEADER_BYTES + len(table)
        at = body + sum(table)
        if at > len(data) or len(header) < _PAGE_HEADER_BYTES:
            break
        _take_page(links, header, table, data[body : min(at, body + 64)])
    return sum(link.seconds for link in links) or None


def _take_page(links: list[_Link], header: bytes, table: bytes, body: bytes) -> None:
    serial = int.from_bytes(header[14:18], "little")
    number = int.from_bytes(header[18:22], "little")
    if header[5] & _BEGINS:
        if links[-1].has_begun:
            links.append(_Link())
        links[-1].streams[serial] = stream = _stream(body)
        if stream:
            stream.number = number
        return
    links[-1].has_begun = True
    if stream := links[-1].streams.get(serial):
        packets = len(table) - table.count(255)  # a full segment is continued
        stream.take(number, int.from_bytes(header[6:14], "little"), packets)
        stream.number = number


def _stream(packet: bytes) -> _Stream | None:
    """Return what a stream's first packet announces, if it is sound that we know."""
    if packet.startswith(b"OpusHead"):
        return _Stream(_OPUS_RATE, _OPUS_PACKET, unheard=int.from_bytes(packet[10:12], "little"))
    if packet.startswith(b"\x01vorbis"):
        rate = int.from_bytes(packet[12:16], "little")
        return _Stream(rate, 1 << (packet[28] >> 4)) if rate else None
    if packet.startswith(b"\x7fFLAC"):
        info = packet[_FLAC_INFO_AT:]
        rate = int.from_bytes(info[10:13]) >> 4
        return _Stream(rate, int.from_bytes(info[2:4])) if rate else None
    return None
