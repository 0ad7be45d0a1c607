"""A duration is told only where the bytes that are there bear it out. ffmpeg is the witness, and small writers."""

import io
import struct
import wave
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.media.lengths.bytes import Bytes
from service.media.lengths.chunks import wav_seconds
from service.media.probe import AAC, AIFF, FLAC, HEAD_BYTES, M4A, MP3, OGG, WAV, WEBM, Format, duration_ms, sniff
from tests.media import sounds

RECORDINGS = Path(__file__).with_name("recordings")
SHARES = (1, 0.9, 0.5, 0.3)
# What ffmpeg decodes of the whole file and of its first 90, 50 and 30 per cent, in milliseconds.
DECODED = {
    "adts.aac": (6083, 5433, 2972, 1764),
    "alac.m4a": (6000, 5120, 2560, 1536),
    "cbr.mp3": (6000, 5409, 2953, 1726),
    "end.m4a": (6037, 0, 0, 0),
    "flac.ogg": (6000, 5040, 2016, 1008),
    "front.m4a": (6037, 5340, 2739, 1393),
    "ima.aiff": (6000, 5392, 2984, 1784),
    "ms.wav": (6108, 5494, 3042, 1815),
    "opus.ogg": (6000, 4993, 1993, 993),
    "piped.flac": (6000, 5184, 1872, 216),
    "piped.m4a": (6083, 5387, 2693, 1300),
    "vbr.mp3": (6000, 5409, 2901, 1647),
    "vorbis.ogg": (6000, 5085, 2020, 998),
    "whole.flac": (6000, 5184, 1872, 216),
}
UNTOLD = {"end.m4a": (0.9, 0.5, 0.3), "piped.m4a": SHARES}


async def measured(folder: Path, data: bytes, kind: Format | None = None) -> int | None:
    """The duration of `data`; its format is judged by its head, as on the way in."""
    kind = kind or sniff(data[:HEAD_BYTES])
    assert kind is not None
    (folder / "audio").write_bytes(data)
    return await duration_ms(folder / "audio", kind)


@pytest.mark.parametrize("name", DECODED)
async def test_whole_piped_and_cut_it_is_what_a_decoder_decodes_or_unknown(tmp_path: Path, name: str) -> None:
    whole = (RECORDINGS / name).read_bytes()
    for share, decoded in zip(SHARES, DECODED[name], strict=True):
        found = await measured(tmp_path, whole[: int(len(whole) * share)])
        if share in UNTOLD.get(name, ()):
            assert found is None
        else:
            assert found == pytest.approx(decoded, rel=0.02)


def wav(
    seconds: float = 3,
    *,
    claimed: int | None = None,
    tag: int = 1,
    bits: int = 16,
    channels: int = 2,
    behind: bytes = b"",
) -> bytes:
    """A WAV of 8 kHz that claims so many bytes of sound."""
    block = channels * bits // 8
    data = b"\x11" * int(seconds * 8000 * block)
    form = struct.pack("<HHIIHH", tag, channels, 8000, 8000 * block, block, bits)
    if tag == 0xFFFE:
        form += struct.pack("<HHIH", 22, bits, 3, 1) + b"\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71"
    size = len(data) if claimed is None else claimed
    chunks = b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", size) + data + behind
    return b"RIFF" + struct.pack("<I", min(4 + len(chunks), 2**32 - 1)) + b"WAVE" + chunks


@pytest.mark.parametrize("claimed", [None, 0, 0x7FFF_FFFF, 0x7FFF_FFDB, 0x8000_0000, 0xFFFF_F000, 0xFFFF_FFFF])
@pytest.mark.parametrize(
    ("tag", "bits", "channels"), [(1, 16, 2), (1, 8, 1), (1, 24, 2), (3, 32, 1), (7, 8, 1), (0xFFFE, 24, 6)]
)
async def test_a_wav_written_into_a_pipe_plays_as_long_as_its_bytes(
    tmp_path: Path, claimed: int | None, tag: int, bits: int, channels: int
) -> None:
    data = wav(claimed=claimed, tag=tag, bits=bits, channels=channels)
    assert await measured(tmp_path, data) == 3000
    assert await measured(tmp_path, data[: len(data) // 2]) == pytest.approx(1500, rel=0.02)


async def test_what_stands_behind_the_sound_is_not_played(tmp_path: Path) -> None:
    assert await measured(tmp_path, wav(behind=b"LIST" + struct.pack("<I", 9000) + bytes(9000))) == 3000


async def test_a_byte_rate_that_lies_is_not_needed(tmp_path: Path) -> None:
    honest = wav()
    for lie in (0, 1, 2**32 - 1):
        assert await measured(tmp_path, honest[:28] + struct.pack("<I", lie) + honest[32:]) == 3000


async def test_a_large_file_has_its_length_elsewhere(tmp_path: Path) -> None:
    small = wav(claimed=0xFFFF_FFFF, behind=b"LIST" + struct.pack("<I", 9000) + bytes(9000))
    length = 3 * 8000 * 4
    for told, expected in ((length, 3000), (2**40, 3281)):
        large = b"ds64" + struct.pack("<IQQQI", 28, 0, told, 0, 0)
        assert await measured(tmp_path, b"RF64" + small[4:12] + large + small[12:]) == pytest.approx(expected, rel=0.02)


@given(st.integers(1, 2), st.sampled_from([1, 2, 3, 4]), st.integers(1, 96_000), st.integers(0, 400))
def test_pythons_own_reader_agrees(channels: int, width: int, rate: int, frames: int) -> None:
    written = io.BytesIO()
    with wave.open(written, "wb") as file:
        file.setparams((channels, width, rate, 0, "NONE", ""))
        file.writeframes(bytes(frames * channels * width))
    with wave.open(io.BytesIO(written.getvalue())) as file:
        assert wav_seconds(Bytes(written.getvalue())) == pytest.approx(file.getnframes() / file.getframerate())


def aiff(*, frames: int = 24_000, size: int | None = None, kind: bytes = b"", bits: int = 16, width: int = 2) -> bytes:
    """An AIFF of three seconds at 8 kHz mono that claims so many frames and so many bytes of sound."""
    data = bytes(24_000 * width)
    common = struct.pack(">HIH", 1, frames, bits) + b"\x40\x0b\xfa" + bytes(7) + kind + (b"\0\0" if kind else b"")
    sound = struct.pack(">II", 0, 0) + data
    chunks = b"COMM" + struct.pack(">I", len(common)) + common
    chunks += b"SSND" + struct.pack(">I", len(sound) if size is None else size) + sound
    return b"FORM" + struct.pack(">I", 4 + len(chunks)) + (b"AIFC" if kind else b"AIFF") + chunks


@pytest.mark.parametrize(
    "data",
    [
        aiff(),
        aiff(size=0x7FFF_FFFF),
        aiff(frames=2**32 - 1, size=2**32 - 1),
        aiff(kind=b"sowt"),
        aiff(kind=b"fl32", bits=32, width=4),
        aiff(kind=b"ulaw", bits=16, width=1),
        aiff(bits=24, width=3),
    ],
)
async def test_an_aiff_plays_as_long_as_its_bytes(tmp_path: Path, data: bytes) -> None:
    assert await measured(tmp_path, data) == 3000
    assert await measured(tmp_path, data[: len(data) // 2]) == pytest.approx(1500, rel=0.02)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (sounds.mp3(100), 2612),
        (sounds.id3(500_000) + sounds.mp3(100), 2612),
        (sounds.mp3(100)[200:], 2586),
        (b"\r\n" + sounds.mp3(100), 2612),
        (bytes(20_000) + sounds.mp3(100), 2612),
        (sounds.mp3(50)[:-100] + sounds.mp3(50), 2586),
        (sounds.mp3(100) + b"TAG" + bytes(125), 2612),
        (sounds.mp3(50) + sounds.id3(300) + sounds.mp3(50), 2612),
        (sounds.ADTS_FRAME * 100, 2322),
        ((sounds.ADTS_FRAME * 100)[10:], 2299),
        (sounds.id3(100) + (RECORDINGS / "whole.flac").read_bytes(), 6000),
        ((RECORDINGS / "whole.flac").read_bytes() + b"TAG" + bytes(125), 6000),
        ((RECORDINGS / "opus.ogg").read_bytes() + (RECORDINGS / "vorbis.ogg").read_bytes(), 12_000),
    ],
)
async def test_what_is_no_sound_adds_nothing(tmp_path: Path, data: bytes, expected: int) -> None:
    assert await measured(tmp_path, data) == pytest.approx(expected, rel=0.005)


async def test_lost_pages_and_pages_that_claim_too_much_are_not_counted(tmp_path: Path) -> None:
    opus = (RECORDINGS / "opus.ogg").read_bytes()
    pages = [b"OggS" + page for page in opus.split(b"OggS")[1:]]
    assert await measured(tmp_path, b"".join(pages[:4] + pages[6:])) == pytest.approx(4000, rel=0.02)
    lie = pages[4][:6] + struct.pack("<Q", 2**40) + pages[4][14:]
    assert await measured(tmp_path, b"".join([*pages[:4], lie])) is None


async def test_a_stream_recorded_from_its_middle_begins_where_it_begins(tmp_path: Path) -> None:
    opus = (RECORDINGS / "opus.ogg").read_bytes()
    pages = [b"OggS" + page for page in opus.split(b"OggS")[1:]]
    for n, page in enumerate(pages[2:], start=2):
        later = int.from_bytes(page[6:14], "little") + 48_000 * 3600
        pages[n] = page[:6] + later.to_bytes(8, "little") + page[14:]
    assert await measured(tmp_path, b"".join(pages)) == pytest.approx(6000, rel=0.03)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", WAV),
        (sounds.webm(), WEBM),
        (sounds.ogg(b"OpusHead"), OGG),
        (sounds.mp4()[:9], M4A),
        (sounds.flac(), FLAC),
        (sounds.aiff(), AIFF),
        (b"\xff" * 5000, MP3),
        (b"\xff" * 5000, AAC),
        (wav()[:44], WAV),
        (wav(tag=0x55), WAV),
        (wav(channels=2)[:32] + b"\x03\0" + wav()[34:], WAV),
        (aiff(kind=b"MAC3"), AIFF),
    ],
)
async def test_a_duration_that_is_absent_or_not_borne_out_is_unknown(tmp_path: Path, data: bytes, kind: Format) -> None:
    assert await measured(tmp_path, data, kind) is None


async def test_a_file_of_countless_parts_is_given_up(tmp_path: Path) -> None:
    honest, empty_part = sounds.wav(1), b"junk\0\0\0\0"
    for parts, expected in [(50_000, 1000), (1_000_000, None)]:
        assert await measured(tmp_path, honest[:36] + empty_part * parts + honest[36:]) == expected


async def test_no_file_makes_reading_the_duration_fail(tmp_path: Path) -> None:
    assert await duration_ms(tmp_path / "absent", WAV) is None


@settings(max_examples=60)
@given(name=st.sampled_from(sorted(DECODED)), share=st.floats(0, 1), at=st.floats(0, 0.2), noise=st.binary(max_size=8))
async def test_no_cut_makes_it_longer_and_no_damage_makes_it_fail(
    tmp_path_factory: pytest.TempPathFactory, name: str, share: float, at: float, noise: bytes
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    whole = (RECORDINGS / name).read_bytes()
    kind = sniff(whole[:HEAD_BYTES])
    assert kind is not None
    cut = whole[: int(len(whole) * share)]
    assert (await measured(folder, cut, kind) or 0) <= DECODED[name][0] * 1.02
    place = int(len(cut) * at)
    await measured(folder, cut[:place] + noise + cut[place + len(noise) :], kind)
