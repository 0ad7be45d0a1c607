"""Words of vendors: which letters matter."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.detectors.answers import folded, meaning_of

TABLE = {"ai": 1, "not-ai-music": 2, "suno_v4_5": 3}


@pytest.mark.parametrize("word", ["ai", "AI", "Ai", " ai", "ai\n", "\tAI \r\n"])
def test_case_and_outer_blanks_do_not_matter(word: str) -> None:
    assert meaning_of(word, TABLE) == 1


@pytest.mark.parametrize(
    "word", ["a i", "ai.", "a-i", "", " ", "a\u0131", "AÍ", "not ai music", None, True, 1, ["ai"], {"ai": 1}]
)
def test_everything_else_does(word: object) -> None:
    assert meaning_of(word, TABLE) is None


def test_a_letter_outside_ascii_is_none_of_a_vendors() -> None:
    """Unicode folds the sign for kelvin to k, and the long s to s."""
    assert folded("fa\u212ae") != "fake"
    assert folded("\u017fuccess") != "success"


@given(st.text())
def test_a_word_has_one_fold(word: str) -> None:
    assert folded(folded(word)) == folded(word)
