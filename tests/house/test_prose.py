"""Prose that an engineer reads once: docstrings, and the texts that the service says. `test_docs` judges the pages.

Refused are first words of docstrings that ruff's D401 lets pass, and turns that take a second reading.
"""

import ast
import re
from collections.abc import Iterator

import pytest

from tests.house.measures import room_of, trees

_FIRST_WORDS = re.compile(r"(?:Whether|How|Where|Who|Nothing|At most)\b")
_TURNS = re.compile(
    r"\b(?:whoever|nobody|somebody|whom|(?:to|for|of) who|as it should be|"
    r"(?<!there )is no (?!longer\b|more\b)[a-z]\w*)\b",
    re.IGNORECASE,
)


def _docstrings(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""


def _texts(tree: ast.Module) -> Iterator[str]:
    """Yield every text in the code: docstrings, error texts, help, descriptions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _refused_in(tree: ast.Module) -> list[str]:
    first = [text.split("\n", 1)[0] for text in _docstrings(tree) if _FIRST_WORDS.match(text)]
    return first + [found[0] for text in _texts(tree) for found in _TURNS.finditer(" ".join(text.split()))]


def _refused_by_room() -> dict[str, list[str]]:
    refused: dict[str, list[str]] = {}
    for name, tree in trees().items():
        for text in _refused_in(tree):
            refused.setdefault(room_of(name), []).append(f"{name}: {text}")
    return refused


def test_docstrings_and_texts_are_read_once() -> None:
    assert _refused_by_room() == {}


@pytest.mark.parametrize(
    "source",
    [
        'def f():\n    """Whether it is so."""',
        'def f():\n    """At most three."""',
        '"""Done for whoever comes."""',
        'raise ValueError("this is no\\nnumber")',
        'HELP = "The answer goes to who asked."',
    ],
)
def test_what_is_read_twice_is_found(source: str) -> None:
    assert _refused_in(ast.parse(source))


@pytest.mark.parametrize("source", ['"""However it ends."""', '"It is no longer used."', "# nobody"])
def test_what_is_read_once_passes(source: str) -> None:
    assert not _refused_in(ast.parse(source))
