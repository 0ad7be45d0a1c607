import wave
from array import array
from pathlib import Path

from service.sandbox.track import write_track


def test_track_is_a_valid_wav_of_at_least_thirty_seconds_with_sound_in_it(tmp_path: Path) -> None:
    path = tmp_path / "track.wav"
    write_track(path)
    with wave.open(str(path), "rb") as sound:
        assert (sound.getnchannels(), sound.getsampwidth(), sound.getframerate()) == (1, 2, 16_000)
        assert sound.getnframes() == 32 * 16_000
        samples = array("h", sound.readframes(sound.getnframes()))
    for second in range(32):
        peak = max(map(abs, samples[second * 16_000 : (second + 1) * 16_000]))
        assert 2_000 < peak < 32_000


def test_track_is_the_same_every_time_and_as_long_as_asked(tmp_path: Path) -> None:
    one, two = tmp_path / "one.wav", tmp_path / "two.wav"
    write_track(one, seconds=1.5)
    write_track(two, seconds=1.5)
    assert one.read_bytes() == two.read_bytes()
    assert len(one.read_bytes()) == 44 + 2 * 24_000
