"""WAV and AIFF: uncompressed sound in chunks. The sound ends where its chunk does, or where the file does."""

from collections.abc import Iterator
from typing import Literal

from service.media.lengths.bytes import Bytes

_CHUNK_HEADER_BYTES = 8
_EXTENSIBLE = 0xFFFE
_PLAIN_TAGS = frozenset({1, 3, 6, 7})  # integers, floats, A-law, µ-law: RFC 2361
_ADPCM_TAGS = frozenset({2, 0x11})  # Microsoft's and IMA's: blocks of a known number of samples
_TO_THE_END = frozenset({0, 0xFFFF_FFFF})  # what is written where the length is not known yet

# AIFF-C (1991), and QuickTime's further types: bytes a sample, where the type says so.
_AIFF_PLAIN = frozenset({b"NONE", b"twos", b"sowt", b"raw ", b"in24", b"in32"})
_AIFF_SAMPLE_BYTES = {b"fl32": 4, b"FL32": 4, b"fl64": 8, b"FL64": 8} | dict.fromkeys(
    (b"alaw", b"ALAW", b"ulaw", b"ULAW"), 1
)
_IMA4_BYTES, _IMA4_SAMPLES = 34, 64


def wav_seconds(data: Bytes) -> float | None:
    """Return how long the sound of a RIFF or RF64 file plays."""
    large, bytes_a_second = 0, 0.0
    for name, begin, size in _chunks(data, "little"):
        if name == b"ds64":
            large = int.from_bytes(data[begin + 8 : begin + 16], "little")
        elif name == b"fmt ":
            bytes_a_second = _bytes_a_second(data[begin : begin + min(size, 40)])
        elif name == b"data":
            there = len(data) - begin
            claimed = large if large and size == 0xFFFF_FFFF else size  # noqa: PLR2004 - EBU Tech 3306
            length = there if claimed in _TO_THE_END else min(claimed, there)
            return length / bytes_a_second if bytes_a_second else None
    return None


def _bytes_a_second(form: bytes) -> float:
    """Return what a second takes; 0 where that is not certain. The header's own figure is not needed, and may lie."""
    number = [int.from_bytes(form[at : at + size], "little") for at, size in ((0, 2), (2, 2), (4, 4), (12, 2), (14, 2))]
    tag, channels, rate, block, bits = number
    if tag == _EXTENSIBLE:
        tag = int.from_bytes(form[24:26], "little")
    if tag in _PLAIN_TAGS:
        return float(rate * block) if block == channels * -(-bits // 8) else 0
    if tag in _ADPCM_TAGS and (samples := int.from_bytes(form[18:20], "little")):
        return rate * block / samples
    return 0


def aiff_seconds(data: Bytes) -> float | None:
    """Return how long the sound of an AIFF or AIFF-C file plays."""
    form, there = b"", 0
    for name, begin, size in _chunks(data, "big"):
        if name == b"COMM":
            form = bytes(data[begin : begin + min(size, 22)])
        elif name == b"SSND":
            offset = int.from_bytes(data[begin : begin + 4])
            there = min(size, len(data) - begin) - 8 - offset
    channels, claimed, bits = (int.from_bytes(form[begin:end]) for begin, end in ((0, 2), (2, 6), (6, 8)))
    rate, kind = _extended(form[8:18]), form[18:22] or b"NONE"
    if there <= 0 or not rate or not channels:
        return None
    if kind == b"ima4":  # the claim counts packets there, and some count samples
        return there // (_IMA4_BYTES * channels) * _IMA4_SAMPLES / rate
    width = -(-bits // 8) if kind in _AIFF_PLAIN else _AIFF_SAMPLE_BYTES.get(kind, 0)
    return min(claimed, there // (width * channels)) / rate if width else None


def _extended(number: bytes) -> float:
    """Return a number of 80 bits (IEEE 754 extended), as sample rates are written in AIFF."""
    exponent, fraction = int.from_bytes(number[:2]) & 0x7FFF, int.from_bytes(number[2:10])
    return fraction * 2.0 ** (exponent - 16383 - 63)


def _chunks(data: Bytes, order: Literal["little", "big"]) -> Iterator[tuple[bytes, int, int]]:
    """Yield each chunk's name, where it begins, and the size that it claims."""
    at = 12
    while True:
        header = data[at : at + _CHUNK_HEADER_BYTES]
        if len(header) < _CHUNK_HEADER_BYTES:
            return
        size = int.from_bytes(header[4:], order)
        yield header[:4], at + _CHUNK_HEADER_BYTES, size
        at += _CHUNK_HEADER_BYTES + size + size % 2
