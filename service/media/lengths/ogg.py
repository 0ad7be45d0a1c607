"""Ogg (RFC 3533): each page says how many samples are done at its end. Pages that are not there add nothing."""

from dataclasses import dataclass, field
from statistics import median

from service.media.lengths.bytes import Bytes

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
