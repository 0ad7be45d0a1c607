"""What the stream is told about the audio: the documented lists, and no more words than each format needs."""

import pytest

from service.vendors.modulate.formats import CONTAINERS, RAW, SAMPLE_RATES, stream_format


@pytest.mark.parametrize("word", sorted(CONTAINERS))
def test_a_container_says_the_rest_itself(word: str) -> None:
    query = stream_format(f"run_1.{word}", "audio/anything", sample_rate=44100, num_channels=2)
    assert query == {"audio_format": word}


@pytest.mark.parametrize("word", sorted(RAW))
def test_raw_audio_is_described_whole(word: str) -> None:
    query = stream_format(f"run_1.fast.{word}", "application/octet-stream", sample_rate=16000, num_channels=1)
    assert query == {"audio_format": word, "sample_rate": "16000", "num_channels": "1"}


@pytest.mark.parametrize(
    ("name", "media_type", "word"),
    [
        ("RUN.MP3", "", "mp3"),
        ("run.aif", "", "aiff"),
        ("run.oga", "", "ogg"),
        ("run", "audio/mpeg", "mp3"),
        ("run.bin", "audio/x-wav; rate=1", "wav"),
        ("run", "audio/webm", "webm"),
    ],
)
def test_the_name_is_believed_before_the_media_type(name: str, media_type: str, word: str) -> None:
    assert stream_format(name, media_type) == {"audio_format": word}


@pytest.mark.parametrize(("name", "media_type"), [("a.m4a", "audio/mp4"), ("a.opus", "audio/opus"), ("a", "")])
def test_what_the_stream_does_not_take_is_a_mistake_of_the_caller(name: str, media_type: str) -> None:
    with pytest.raises(ValueError, match="does not take"):
        stream_format(name, media_type)


@pytest.mark.parametrize(("rate", "channels"), [(None, 1), (16000, None), (50000, 1), (16000, 0), (16000, 9)])
def test_raw_audio_without_what_describes_it_is_a_mistake_of_the_caller(rate: int | None, channels: int | None) -> None:
    with pytest.raises(ValueError, match="raw audio"):
        stream_format("a.s16le", "", sample_rate=rate, num_channels=channels)


@pytest.mark.parametrize("rate", SAMPLE_RATES)
@pytest.mark.parametrize("channels", [1, 8])
def test_every_documented_rate_is_taken(rate: int, channels: int) -> None:
    assert stream_format("a.mulaw", "", sample_rate=rate, num_channels=channels)["sample_rate"] == str(rate)
