"""Formats are told by the bytes, and what is not audio is not taken for it."""

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.media.probe import HEAD_BYTES, duration_ms, sniff
from tests.media import sounds


@pytest.mark.parametrize(
    ("head", "word"),
    [
        (sounds.mp3(2), "mp3"),
        (sounds.MP3_FRAME + b"TAG" + bytes(125), "mp3"),
        (bytes(7) + sounds.mp3(2), "mp3"),
        (sounds.id3(100) + sounds.mp3(2), "mp3"),
        (sounds.id3(100, major=4, flags=0x10) + sounds.mp3(2), "mp3"),
        (sounds.id3(100) + sounds.id3(50) + sounds.mp3(2), "mp3"),
        (sounds.id3(100) + b"stray" + sounds.mp3(2), "mp3"),
        (sounds.id3(500_000)[:HEAD_BYTES], "mp3"),
        ((sounds.id3(HEAD_BYTES - 14) + sounds.mp3(2))[:HEAD_BYTES], "mp3"),
        (sounds.id3(100) + sounds.flac(), "flac"),
        (sounds.id3(100) + sounds.ADTS_FRAME * 3, "aac"),
        (sounds.ADTS_FRAME * 3, "aac"),
        (sounds.wav(), "wav"),
        (b"RF64" + sounds.wav()[4:], "wav"),
        (sounds.flac(), "flac"),
        (sounds.ogg(b"\x01vorbis" + bytes(20)), "ogg"),
        (sounds.ogg(b"OpusHead" + bytes(11)), "ogg"),
        (sounds.ogg(b"\x7fFLAC\x01\x00"), "ogg"),
        (sounds.mp4(), "m4a"),
        (sounds.mp4(b"mp42"), "m4a"),
        (sounds.mp4(b"isom"), "m4a"),
        (sounds.webm(), "webm"),
        (sounds.aiff(), "aiff"),
        (sounds.aiff(b"AIFC"), "aiff"),
    ],
)
def test_audio_is_known_by_its_first_bytes(head: bytes, word: str) -> None:
    found = sniff(head)
    assert found is not None
    assert found.word == word


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"I",
        b"ID3",
        b"ID3\x03\0\0\0\0\0",
        sounds.id3(0) + b"these are just words, and many of them" * 20,
        sounds.id3(100, major=9) + sounds.mp3(2),
        b"ID3\x03\0\0\xff\xff\xff\xff" + sounds.mp3(2),
        sounds.MP3_FRAME[:4],
        sounds.MP3_FRAME + b"and then something else",
        b"\xff\xfb\xf0\x00" + bytes(2000),
        b"\xff\xfb\x9c\x00" + bytes(2000),
        "ÿþ in UTF-16, with its byte order mark".encode("utf-16"),
        b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(3000),
        b"\xff" * 5000,
        sounds.ogg(b"\x80theora" + bytes(20)),
        b"OggS",
        sounds.mp4(b"avif"),
        sounds.mp4(b"heic"),
        sounds.webm(b"matroska"),
        b"RIFF\0\0\0\0AVI LIST",
        b"FORM\0\0\0\0ILBM",
        b"<html><body>not found</body></html>",
        b"%PDF-1.7",
        b'{"error": "no such file"}',
    ],
)
def test_what_is_not_audio_is_not_taken_for_it(head: bytes) -> None:
    assert sniff(head) is None


@given(
    st.sampled_from([b"", b"ID3", b"\xff\xfb", b"\xff\xf1", b"OggS", b"RIFF", b"\0\0\0\x18ftyp", b"\x1aE\xdf\xa3"]),
    st.binary(max_size=400),
)
def test_no_bytes_make_it_fail(start: bytes, rest: bytes) -> None:
    sniff(start + rest)


@pytest.mark.parametrize(
    ("data", "expected"), [(sounds.wav(1.5), 1500), (sounds.flac(), 2000), (sounds.mp3(100), 2612)]
)
async def test_the_duration_is_read_from_the_headers(tmp_path: Path, data: bytes, expected: int) -> None:
    (tmp_path / "audio").write_bytes(data)
    assert await duration_ms(tmp_path / "audio") == pytest.approx(expected, abs=30)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        sounds.webm(),
        sounds.ogg(b"OpusHead"),
        sounds.mp4()[:9],
        b"RIFF\xff\xff\xff\xffWAVE" + struct.pack("<4sIHHIIHH4sI", b"fmt ", 16, 1, 1, 1, 1, 1, 8, b"data", 2**32 - 1),
    ],
)
async def test_a_duration_that_is_absent_or_incredible_is_unknown(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "audio").write_bytes(data)
    assert await duration_ms(tmp_path / "audio") is None


async def test_a_file_of_countless_parts_is_given_up(tmp_path: Path) -> None:
    honest, empty_part = sounds.wav(1), b"junk\0\0\0\0"
    for parts, expected in [(50_000, 1000), (1_000_000, None)]:
        (tmp_path / "audio").write_bytes(honest[:36] + empty_part * parts + honest[36:])
        assert await duration_ms(tmp_path / "audio") == expected


async def test_no_file_makes_reading_the_duration_fail(tmp_path: Path) -> None:
    assert await duration_ms(tmp_path / "absent") is None
