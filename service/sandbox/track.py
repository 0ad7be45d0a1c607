"""A short recording of our own: computed, so it has no owner and needs no download."""

import math
import sys
import tempfile
import wave
from array import array
from functools import cache, lru_cache
from itertools import cycle, islice
from pathlib import Path
from typing import Final

_RATE: Final = 16_000
_BEAT: Final = _RATE // 2
_BAR: Final = 4 * _BEAT

# Semitones from A4 (440 Hz). Four bars of four beats: A minor, F, C, G.
_CHORDS: Final = ((-12, -9, -5), (-16, -12, -9), (-9, -5, -2), (-14, -10, -7))
_MELODY: Final = ((0, 3, 7, 3), (8, 7, 3, 0), (3, 7, 10, 7), (5, 2, -2, 2))
_SHADES: Final = (1.0, 0.4, 0.2)  # loudness of a tone's first overtones
_MELODY_PEAK: Final = 9_000
_CHORD_PEAK: Final = 4_000


def write_track(path: Path, seconds: float = 32) -> None:
    """Write a WAV of this length to `path`: 16 bit, mono, 16 kHz, the same bytes every time."""
    samples = array("h", islice(cycle(_song()), round(seconds * _RATE)))
    if sys.byteorder == "big":
        samples.byteswap()  # WAV is little-endian
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(_RATE)
        sound.writeframes(samples.tobytes())


@cache
def track_bytes() -> bytes:
    """Return the recording as a file. It is computed once a process, which takes a moment."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "track.wav"
        write_track(path)
        return path.read_bytes()


def _song() -> list[int]:
    """Return four bars with harmony."""
    song: list[int] = []
    for chord, melody in zip(_CHORDS, _MELODY, strict=True):
        voices = [_tone(pitch, _BAR, _CHORD_PEAK) for pitch in chord]
        lead = [sample for pitch in melody for sample in _tone(pitch, _BEAT, _MELODY_PEAK)]
        song.extend(map(sum, zip(lead, *voices, strict=True)))
    return song


@lru_cache(maxsize=64)
def _tone(pitch: int, length: int, peak: int) -> tuple[int, ...]:
    """Return one note: quick attack, slow fading, silent at both ends so that notes join without a click."""
    step = 2 * math.pi * 440 * 2 ** (pitch / 12) / _RATE
    loudness = peak / sum(_SHADES)
    return tuple(
        round(
            loudness
            * min(1, index / 160, (length - index) / 800)
            * math.exp(-2 * index / length)
            * sum(shade * math.sin(step * (n + 1) * index) for n, shade in enumerate(_SHADES)),
        )
        for index in range(length)
    )
