"""Small audio, made byte by byte; not with the code under test, and silent."""

import struct
from collections.abc import AsyncIterator

MP3_FRAME = b"\xff\xfb\x90\x00" + bytes(413)  # MPEG-1 layer III, 128 kbit/s, 44.1 kHz: 417 bytes
ADTS_FRAME = b"\xff\xf1\x50\x80\x02\x1f\xfc" + bytes(9)  # 44.1 kHz, 16 bytes


def wav(seconds: float = 1.0, rate: int = 8000, *, seed: int = 0) -> bytes:
    data = bytes([128 + seed % 100]) * int(seconds * rate)
    header = struct.pack("<4sIHHIIHH4sI", b"fmt ", 16, 1, 1, rate, rate, 1, 8, b"data", len(data))
    return b"RIFF" + struct.pack("<I", 4 + len(header) + len(data)) + b"WAVE" + header + data


def mp3(frames: int = 40) -> bytes:
    return MP3_FRAME * frames


def id3(length: int, *, major: int = 3, flags: int = 0) -> bytes:
    size = bytes(length >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3" + bytes([major, 0, flags]) + size + bytes(length) + (bytes(10) if flags & 0x10 else b"")


def ape(length: int, *, has_header: bool = True) -> bytes:
    """An APEv2 tag: its size counts the items and the footer, and not the header."""
    size, flags = length + 32, 0x8000_0000 if has_header else 0
    ends = [b"APETAGEX" + struct.pack("<IIII", 2000, size, 1, flags | header) + bytes(8) for header in (0x2000_0000, 0)]
    return (ends[0] if has_header else b"") + bytes(length) + ends[1]


def ogg(packet: bytes) -> bytes:
    return b"OggS\0\x02" + bytes(20) + b"\x01" + bytes([len(packet)]) + packet


def flac() -> bytes:
    bits = 8000 << 44 | 0 << 41 | 15 << 36 | 16000  # 8 kHz, mono, 16 bits, two seconds
    return b"fLaC\x80\0\0\x22" + bytes(10) + bits.to_bytes(8) + bytes(16)


def mp4(brand: bytes = b"M4A ") -> bytes:
    return b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0" + b"isommp42"


def webm(document: bytes = b"webm") -> bytes:
    return b"\x1aE\xdf\xa3\x9f\x42\x86\x81\x01\x42\x82" + bytes([0x80 | len(document)]) + document + bytes(8)


def aiff(kind: bytes = b"AIFF") -> bytes:
    return b"FORM\0\0\0\x2e" + kind + b"COMM\0\0\0\x12"


async def pieces(data: bytes, size: int = 65_536) -> AsyncIterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]
