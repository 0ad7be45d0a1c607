import pytest

from service.sandbox.script import WORDS, Phase, Script, Truth, name_in


@pytest.mark.parametrize(
    ("name", "script"),
    [
        ("song.mp3", Script()),
        ("ai.mp3", Script(Truth.AI)),
        ("my-song.lost-callback.ai.mp3", Script(Truth.AI, callback_copies=0)),
        ("song.cover.duplicate-callback.wav", Script(Truth.COVER, callback_copies=2)),
        ("song.fail.mp3", Script(fails=True)),
        ("ai-song.human-voice.mp3", Script()),
        ("song.AI.mp3", Script()),
        ("song.ai.human.mp3", Script()),
        ("", Script()),
    ],
)
def test_only_whole_known_parts_of_a_name_are_words(name: str, script: Script) -> None:
    assert Script.of(name) == script


def test_words_known_now() -> None:
    assert {"ai", "human", "cover", "fail", "lost-callback", "duplicate-callback"} == WORDS


@pytest.mark.parametrize(
    ("age_seconds", "phase"),
    [(-1, Phase.WAITING), (0.9, Phase.WAITING), (1, Phase.WORKING), (1.99, Phase.WORKING), (2, Phase.DONE)],
)
def test_half_of_the_latency_is_waiting_and_half_is_work(age_seconds: float, phase: Phase) -> None:
    assert Script().phase(age_seconds, 2) is phase


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://example.com/a/b/song.ai.mp3?x=cover.mp3", "song.ai.mp3"),
        ("https://example.com/song%2Eai%2Emp3", "song.ai.mp3"),
        ("https://example.com", ""),
    ],
)
def test_name_of_a_url_is_its_last_decoded_path_part(url: str, name: str) -> None:
    assert name_in(url) == name
