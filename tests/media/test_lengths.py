"""No file keeps a reader busy: its steps are counted over the whole file, and an honest file needs few."""

import struct
import threading
from pathlib import Path
from typing import Any

import pytest

from service.media.frames import adts_seconds, mp3_seconds
from service.media.lengths.bytes import MOST_STEPS, Bytes, TooManyParts
from service.media.lengths.chunks import aiff_seconds, wav_seconds
from service.media.lengths.mp4 import mp4_seconds
from service.media.lengths.xiph import flac_seconds, ogg_seconds
from service.media.probe import M4A, duration_ms

RECORDINGS = Path(__file__).with_name("recordings")
READERS = {
    "adts.aac": adts_seconds,
    "alac.m4a": mp4_seconds,
    "cbr.mp3": mp3_seconds,
    "flac.ogg": ogg_seconds,
    "front.m4a": mp4_seconds,
    "ima.aiff": aiff_seconds,
    "ms.wav": wav_seconds,
    "vbr.mp3": mp3_seconds,
    "whole.flac": flac_seconds,
}
CHUNKS, RUNS = 1_000, 200
Run = tuple[int, int]
"""A row of `stsc`: the first chunk that it tells of, and how many samples each has."""


def box(name: bytes, *content: bytes) -> bytes:
    inner = b"".join(content)
    return struct.pack(">I", 8 + len(inner)) + name + inner


def table(name: bytes, *rows: tuple[int, ...]) -> bytes:
    return box(name, struct.pack(">II", 0, len(rows)), *(struct.pack(f">{len(row)}I", *row) for row in rows))


def sound_track(*runs: Run, chunks: int = 1, samples: int = 10) -> bytes:
    """A track of samples of one byte, ten in a second."""
    tables = box(
        b"stbl",
        table(b"stts", (samples, 800)),
        box(b"stsz", struct.pack(">III", 0, 1, samples)),
        table(b"stsc", *runs),
        table(b"stco", *[(8,)] * chunks),
    )
    clock = box(b"mdhd", struct.pack(">IIIII", 0, 0, 0, 8000, 0))
    return box(b"trak", box(b"mdia", clock, box(b"hdlr", bytes(8), b"soun"), box(b"minf", tables)))


def m4a(*tracks: bytes) -> bytes:
    film = box(b"moov", box(b"mvhd", struct.pack(">IIIII", 0, 0, 0, 8000, 0)), *tracks)
    return box(b"ftyp", b"M4A \0\0\0\0isommp42") + film


async def steps_of(path: Path) -> tuple[int | None, int]:
    """The duration of the M4A at `path`, and how many calls its reader makes."""
    calls = 0

    def count(_frame: Any, _event: str, _argument: Any) -> None:
        nonlocal calls
        calls += 1

    threading.setprofile(count)  # of threads that begin from now on: the one that the reader gets
    try:
        return await duration_ms(path, M4A), calls
    finally:
        threading.setprofile(None)


async def test_an_honest_table_of_chunks_is_followed(tmp_path: Path) -> None:
    (tmp_path / "audio").write_bytes(m4a(sound_track((1, 2), (3, 3), chunks=4)))
    assert await duration_ms(tmp_path / "audio", M4A) == 1000


@pytest.mark.parametrize(
    "runs",
    [
        [(1, 0), (CHUNKS + 1, 0)] * RUNS,
        [(1, 1), (CHUNKS + 1, 1)] * RUNS,
        [(1, 1), (CHUNKS, 1), (2, 1), (CHUNKS, 1)] * RUNS,
        [(0, 1), (1, 1)],
        [(1, 1), (1, 1)],
        [(1, 0), (2, 10)],
    ],
)
async def test_a_table_of_chunks_that_goes_back_or_holds_nothing_is_not_followed(
    tmp_path: Path, runs: list[Run]
) -> None:
    data = m4a(sound_track(*runs, chunks=CHUNKS, samples=2**32 - 1))
    (tmp_path / "audio").write_bytes(data)
    found, steps = await steps_of(tmp_path / "audio")
    assert found is None
    assert 0 < steps < len(data)


@pytest.mark.parametrize(("parts", "expected"), [(10_000, 1000), (190_000, None)])
async def test_countless_parts_are_counted_over_the_whole_file(
    tmp_path: Path, parts: int, expected: int | None
) -> None:
    crowded = box(b"trak", box(b"free") * parts)
    (tmp_path / "audio").write_bytes(m4a(*[crowded] * 4, sound_track((1, 10))))
    assert await duration_ms(tmp_path / "audio", M4A) == expected


@pytest.mark.parametrize("name", READERS)
def test_every_reader_takes_all_its_steps_from_one_number(name: str) -> None:
    whole, read = (RECORDINGS / name).read_bytes(), READERS[name]
    ample = Bytes(whole)
    assert read(ample)
    needed = MOST_STEPS - ample.left
    assert 0 < needed < MOST_STEPS / 100
    assert read(Bytes(whole, needed)) == read(Bytes(whole))
    for fewer in {needed - 1, needed // 2, 0}:
        with pytest.raises(TooManyParts):
            read(Bytes(whole, fewer))


def test_no_look_at_the_bytes_is_free() -> None:
    data = Bytes(b"abc", 3)
    assert (data[0], data[1:], data.find(b"c"), len(data), data.left) == (97, b"bc", 2, 3, 0)
    for look in (lambda: data[0], lambda: data[:1], lambda: data.find(b"a"), lambda: data.take(1)):
        with pytest.raises(TooManyParts):
            look()
