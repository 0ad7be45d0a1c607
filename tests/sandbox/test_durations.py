import pytest

from service.sandbox.bodies import bytes_per_second, wav_bytes_per_second
from service.sandbox.track import write_track
from tests.sandbox.sounds import wav


def test_a_wav_tells_its_byte_rate_wherever_its_fmt_chunk_stands(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("track") / "track.wav"
    write_track(path, 1)
    assert wav_bytes_per_second(path.read_bytes()) == 32_000
    assert wav_bytes_per_second(wav(1, rate=44_100)) == 44_100


@pytest.mark.parametrize("head", [b"", b"RIFF", wav(1)[:30], b"RIFF\0\0\0\0WAVE" + b"\xff" * 40, b"ID3" * 20])
def test_what_tells_no_rate_has_none_and_is_guessed_by_its_type(head: bytes) -> None:
    assert wav_bytes_per_second(head) is None
    assert bytes_per_second(head, "mp3") == 16_000
    assert bytes_per_second(head, "flac") > 50_000
