"""What the stream is told about the audio: the documented lists, and no more words than each format needs."""

import pytest

from service.vendors.modulate.adapter import CONTAINERS, stream_format


@pytest.mark.parametrize("word", sorted(CONTAINERS))
def test_a_container_says_the_rest_itself(word: str) -> None:
    assert stream_format(f"run_1.{word}", "audio/anything") == {"audio_format": word}


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


@pytest.mark.parametrize(
    ("name", "media_type"), [("a.m4a", "audio/mp4"), ("a.opus", "audio/opus"), ("a", ""), ("a.s16le", "")]
)
def test_what_the_stream_does_not_take_is_a_mistake_of_the_caller(name: str, media_type: str) -> None:
    with pytest.raises(ValueError, match="does not take"):
        stream_format(name, media_type)
