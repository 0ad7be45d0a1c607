"""A vendor's words, looked up: case and outer blanks do not matter, everything else does. Pure."""

from collections.abc import Mapping
from typing import TypeVar

Meaning = TypeVar("Meaning")


def folded(word: str) -> str:
    """`word` in small letters, without blanks around it. Letters outside ASCII stay: none of them is a vendor's."""
    bare = word.strip()
    return bare.lower() if bare.isascii() else bare


def meaning_of(word: object, table: Mapping[str, Meaning]) -> Meaning | None:
    """Return what `table` says of this word of a vendor's; `None` for an unknown word, and for what is not a text.

    The words in `table` are in small letters.
    """
    return table.get(folded(word)) if isinstance(word, str) else None
