"""Formats are told by the bytes, and what is not audio is not taken for it."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.media.probe import HEAD_BYTES, sniff
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


@pytest.mark.parametrize("stream", [sounds.mp3(5), sounds.ADTS_FRAME * 5])
@pytest.mark.parametrize(
    "before",
    [
        pytest.param(b"\r\n", id="a line's end"),
        pytest.param(b"stray bytes, then \xff\xff\xfb\xf1 and others", id="stray bytes"),
        pytest.param(bytes(20_000), id="zeros"),
        pytest.param(bytes(300) + b"\r\n", id="zeros and a line's end"),
        pytest.param(sounds.ape(30), id="APEv2"),
        pytest.param(sounds.ape(4000) + b"\0\0", id="a long APEv2"),
        pytest.param(sounds.ape(40) + sounds.ape(50, has_header=False), id="two of APEv2"),
        pytest.param(b"\x55" * 217, id="half a frame of MP3"),
        pytest.param(sounds.ADTS_FRAME[3:], id="half a frame of ADTS"),
        pytest.param(b"\xef\xbb\xbf", id="a byte order mark"),
        pytest.param(b"TAG" + bytes(125), id="a tag that belongs to the end"),
        pytest.param(bytes(range(255)) * 60, id="15 kB of anything"),
    ],
)
def test_frames_that_do_not_begin_at_once_are_found(before: bytes, stream: bytes) -> None:
    found = sniff((before + stream)[:HEAD_BYTES])
    assert found is not None
    assert found.word == ("mp3" if stream.startswith(sounds.MP3_FRAME) else "aac")


@pytest.mark.parametrize("stream", [sounds.MP3_FRAME, sounds.ADTS_FRAME])
def test_two_frames_somewhere_are_an_accident(stream: bytes) -> None:
    other = sounds.MP3_FRAME[:2] + b"\x94" + sounds.MP3_FRAME[3:]  # of another sample rate
    assert sniff(b"\r\n" + stream * 2) is None
    assert sniff(b"\r\n" + stream * 2 + other * 2) is None
    assert sniff(b"\r\n" + stream * 2 + b"x" + stream * 2) is None


@pytest.mark.parametrize(
    "start", [b"PK\x03\x04", b"RIFF\0\0\0\0AVI LIST", b"FLV\x01\x05", b"%PDF-1.7", sounds.mp4(b"avif"), b"<html>"]
)
def test_frames_within_something_else_make_it_no_sound(start: bytes) -> None:
    assert sniff(start + bytes(30) + sounds.mp3(9)) is None


@given(
    st.integers(0, 2**32), st.integers(0, 40_000), st.sampled_from([b"", b"\xff\xfb\x90", b"\xff\xf1", b"\0", b"\r\n"])
)
def test_noise_is_no_sound(seed: int, length: int, start: bytes) -> None:
    assert sniff(start + Random(seed).randbytes(length)) is None


@given(st.integers(0, 2**32))
def test_noise_full_of_sync_bytes_is_no_sound(seed: int) -> None:
    random = Random(seed)
    noise = (0xFF if random.random() < 0.25 else random.randrange(256) for _ in range(5_000))
    assert sniff(b"x" + bytes(noise)) is None


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
