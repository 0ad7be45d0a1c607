"""Recordings for the twins, which read no more of them than the header."""

import struct


def wav(seconds: float, rate: int = 8_000) -> bytes:
    """A WAV of silence, 8 bit, with a chunk before `fmt ` as some programs write it; the header counts as sound."""
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, rate, 1, 8)
    before = b"JUNK" + struct.pack("<I", 3) + b"xyz\0" + fmt + b"data"
    data = b"\x80" * (round(seconds * rate) - len(before) - 16)
    chunks = before + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WAVE" + chunks
