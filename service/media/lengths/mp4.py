"""MP4 (ISO/IEC 14496-12): tables say where each sample of the sound lies. Those beyond the file's end do not count."""

import struct
from collections.abc import Iterator
from itertools import pairwise

from service.media.lengths.bytes import Bytes, TooManyParts

Box = tuple[int, int]
"""The begin and the end of a box's content."""

_LONGEST_SAMPLE_SECONDS = 2.0  # of any codec; tables that claim more are not believed
_MOST_ROWS = 1_000_000  # of a table, since some are unpacked at once: AAC plays for six hours by then
_PADDING_SECONDS = 0.25  # what encoders add around the music, and the film's own length leaves out


def mp4_seconds(data: Bytes) -> float | None:
    """Return how long the samples of the first sound track play that are there. `None` where it is in fragments."""
    film = _inner(data, (0, len(data)), b"moov")
    if film is None or _inner(data, film, b"mvex") is not None:
        return None
    for name, track in _boxes(data, film):
        media = _inner(data, track, b"mdia") if name == b"trak" else None
        handler = media and _inner(data, media, b"hdlr")
        if media and handler and data[handler[0] + 8 : handler[0] + 12] == b"soun":
            return _trimmed(_track_seconds(data, media, _skipped(data, track)), _clock(data, film, b"mvhd"))
    return None


def _skipped(data: Bytes, track: Box) -> int:
    """Return the ticks of the track that its edit list leaves out at the start: what the encoder put there."""
    edits = _inner(data, track, b"edts", b"elst")
    if edits is None or data[edits[0]] != 0 or edits[1] - edits[0] < 16:  # noqa: PLR2004 - a list with one row
        return 0
    return max(0, int.from_bytes(data[edits[0] + 12 : edits[0] + 16], signed=True))


def _track_seconds(data: Bytes, media: Box, skipped: int) -> float | None:
    table = _inner(data, media, b"minf", b"stbl")
    scale, _ = _clock(data, media, b"mdhd")
    if table is None or not scale:
        return None
    there, ticks, counted = _samples_there(data, table), 0, 0
    for count, length in _pairs(data, table, b"stts"):
        taken = min(count, there - counted)
        ticks, counted = ticks + taken * length, counted + taken
    if not counted or ticks > counted * scale * _LONGEST_SAMPLE_SECONDS:
        return None
    return max(0, ticks - skipped) / scale


def _trimmed(seconds: float | None, film: tuple[int, int]) -> float | None:
    """Return the film's own length where it is the tables' less an encoder's padding."""
    scale, length = film
    told = length / scale if scale else 0
    return told if seconds is not None and 0 <= seconds - told <= _PADDING_SECONDS else seconds


def _samples_there(data: Bytes, table: Box) -> int:
    """Return how many samples lie within the file, up to the first that does not."""
    sizes = _need(data, table, b"stsz")
    each, count = struct.unpack(">II", data[sizes[0] + 4 : sizes[0] + 12])
    if not each and count > _MOST_ROWS:
        raise TooManyParts
    own = () if each else struct.unpack(f">{count}I", data[sizes[0] + 12 : sizes[0] + 12 + 4 * count])
    done = 0
    for offset, in_chunk in _chunks(data, table):
        in_chunk = min(in_chunk, count - done)  # noqa: PLW2901 - the last run claims the rest
        end = offset
        if each:
            whole = min(in_chunk, max(0, len(data) - offset) // each)
        else:
            whole = 0
            data.take(in_chunk)
            for size in own[done : done + in_chunk]:
                end += size
                if end > len(data):
                    break
                whole += 1
        done += whole
        if whole < in_chunk or done == count:
            break
    return done


def _chunks(data: Bytes, table: Box) -> Iterator[tuple[int, int]]:
    """Yield each chunk's offset in the file, and its number of samples.

    Raises `ValueError` where a run holds nothing or goes back: the same chunks would come again and again.
    """
    places = _places(data, table)
    begin, _ = _need(data, table, b"stsc")
    runs = [struct.unpack(">II", data[at : at + 8]) for at in _rows(data, begin, 12)]
    firsts = [0, *(first for first, _ in runs)]
    if any(following <= first for first, following in pairwise(firsts)) or any(samples == 0 for _, samples in runs):
        raise ValueError("runs of chunks that are empty, or not in order")
    for (first, samples), (following, _) in pairwise([*runs, (len(places) + 1, 0)]):
        for place in places[first - 1 : following - 1]:
            data.take(1)
            yield place, samples


def _places(data: Bytes, table: Box) -> tuple[int, ...]:
    if (wide := _inner(data, table, b"co64")) is not None:
        kind, width, begin = "Q", 8, wide[0]
    else:
        kind, width, begin = "I", 4, _need(data, table, b"stco")[0]
    count = len(_rows(data, begin, width))
    return struct.unpack(f">{count}{kind}", data[begin + 8 : begin + 8 + count * width])


def _pairs(data: Bytes, table: Box, name: bytes) -> Iterator[tuple[int, int]]:
    begin, _ = _need(data, table, name)
    for at in _rows(data, begin, 8):
        yield int.from_bytes(data[at : at + 4]), int.from_bytes(data[at + 4 : at + 8])


def _rows(data: Bytes, begin: int, width: int) -> range:
    """Yield the offset of each row of a table: version and flags, the number of rows, the rows."""
    count = int.from_bytes(data[begin + 4 : begin + 8])
    end = begin + 8 + count * width
    if count > _MOST_ROWS or end > len(data):
        raise TooManyParts
    return range(begin + 8, end, width)


def _clock(data: Bytes, box: Box, name: bytes) -> tuple[int, int]:
    """Return the ticks of a second and the length in ticks, from a header of version 0 or 1."""
    begin, _ = _need(data, box, name)
    if data[begin] == 1:
        return int.from_bytes(data[begin + 20 : begin + 24]), int.from_bytes(data[begin + 24 : begin + 32])
    return int.from_bytes(data[begin + 12 : begin + 16]), int.from_bytes(data[begin + 16 : begin + 20])


def _need(data: Bytes, box: Box, name: bytes) -> Box:
    if (found := _inner(data, box, name)) is None:
        raise ValueError("a box is missing")
    return found


def _inner(data: Bytes, box: Box, *path: bytes) -> Box | None:
    """Return the box at the end of `path`, each the first of its name within the one before."""
    found: Box | None = box
    for name in path:
        found = next((each for kind, each in _boxes(data, found) if kind == name), None) if found else None
    return found


def _boxes(data: Bytes, box: Box) -> Iterator[tuple[bytes, Box]]:
    """Yield each box within. One that claims to reach further than the one around it is incomplete: it is left out."""
    at, end = box
    while at + 8 <= end:
        size, name, header = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8], 8
        if size == 1:
            size, header = int.from_bytes(data[at + 8 : at + 16]), 16
        following = end if size == 0 else at + size
        if size and size < header:
            return
        if following <= end:
            yield name, (at + header, following)
        at = following
