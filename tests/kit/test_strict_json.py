"""What is refused as JSON, with the words that its sender gets."""

import pytest

from service.kit.strict_json import NotStrictError, decode


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"a": 1, "a": 1}', "a name occurs twice in one object"),
        ('[{"b": {"a": 1, "a": 2}}]', "a name occurs twice in one object"),
        ("[NaN]", "NaN and Infinity are not JSON"),
        ("-Infinity", "NaN and Infinity are not JSON"),
        ("[1e999]", "a number is too large"),
    ],
)
def test_what_the_standard_does_not_have_or_leaves_open_is_refused(text: str, why: str) -> None:
    with pytest.raises(NotStrictError, match=why):
        decode(text)


def test_what_is_strict_is_read_as_it_stands() -> None:
    assert decode('{"a": [1, 2.5, "\\ud83d\\ude00", null, true]}') == {"a": [1, 2.5, "😀", None, True]}
