import pytest

from service.sandbox.script import WORDS, Obstacle, Phase, Script, Truth, name_in


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


def test_every_word_but_the_two_that_change_nothing_makes_another_script() -> None:
    unmoved = {word for word in WORDS if Script.of(word) == Script()}
    assert unmoved == {"human", "reuse"}


def test_what_is_in_the_way_adds_up() -> None:
    script = Script.of("song.outage.ai.rate-limited.wav")
    ahead = (Obstacle.DOWN, Obstacle.RESET, Obstacle.THROTTLED_BRIEFLY, Obstacle.THROTTLED)
    assert script == Script(Truth.AI, obstacles=ahead, stumbles=True)


def test_slow_and_late_are_multiples_and_multiply() -> None:
    assert Script.of("song.slow.wav").done_after_seconds(2) == 10
    assert Script.of("song.late-callback.wav").called_back_after_seconds(2) == 8
    assert Script.of("song.late-callback.slow.wav").called_back_after_seconds(2) == 40
    assert Script.of("song.early-callback.wav").phase(0, 2) is Phase.DONE


@pytest.mark.parametrize("truth", list(Truth))
def test_a_liar_never_says_the_truth(truth: Truth) -> None:
    assert truth.opposite is not truth
    assert {truth, truth.opposite} != {Truth.AI, Truth.COVER}


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


def test_detectors_in_dispute_take_sides_whatever_the_truth() -> None:
    vendors = ("aippim", "pex", "asc", "modulate")
    for name in ("song.disagree.wav", "song.disagree.ai.wav", "song.human.disagree.wav"):
        assert [Script.of(name).truth_for(one) for one in vendors] == [Truth.AI, Truth.AI, Truth.HUMAN, Truth.HUMAN]
    assert {Script.of("song.cover.wav").truth_for(one) for one in vendors} == {Truth.COVER}


def test_only_a_recording_without_sound_cannot_be_decoded() -> None:
    assert {word for word in WORDS if Script.of(word).is_undecodable} == {"invalid", "no-audio"}
