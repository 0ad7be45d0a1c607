"""Words that once meant several things stay out of names: of files, classes, functions and columns.

What each stood for has a name of its own now. "Twin" is the sandbox's own word. The lists of what is not
done yet only shrink: what is clean and still listed fails.
"""

import ast
import re
from collections.abc import Iterator

import pytest

from tests.house.measures import room_of, shared_class_names, trees

OVERLOADED = frozenset(
    {
        "said",
        "ask",
        "asks",
        "asked",
        "line",
        "lines",
        "tell",
        "tells",
        "told",
        "hear",
        "hears",
        "heard",
        "hold",
        "holds",
        "held",
        "look",
        "looks",
        "seen",
        "wanted",
        "place",
        "placed",
        "standing",
        "twin",
        "charge",
        "charged",
        "cut",
    }
)
TURNS = ("hand over", "hand back", "hand off", "give back", "put aside", "put off", "set off")
_STATE = "`held` is a state of a delivery"
_MONEY = "a charge of money"
_TWIN = "the sandbox's stand-in for a vendor"
EXCEPTIONS = {
    "hold": _STATE,
    "_hold": _STATE,
    "hold_claimed": _STATE,
    "hold_deliveries": _STATE,
    "_hold_statements": _STATE,
    "_is_held": _STATE,
    "release_held": _STATE,
    "Charge": _MONEY,
    "open_charge": _MONEY,
    "_open_charge": _MONEY,
    "settle_charge": _MONEY,
    "_charge": _MONEY,
    "_with_charge": _MONEY,
    "Twin": _TWIN,
    "_twin": _TWIN,
    "at_twin": _TWIN,
    "twin_names": _TWIN,
    "show_lines": "lines of text",
    "_lines": "lines of text",
    "_first_line": "a line of text",
}
"""Names that keep one of these words, and why."""
ROOMS_NOT_DONE: frozenset[str] = frozenset(
    {
        "api",
        "bench",
        "callbacks",
        "certificates",
        "detections",
        "detectors",
        "kit",
        "media",
        "reprocess",
        "runs",
        "vendor_calls",
        "webhooks",
        "worker.py",
    }
)
CLASS_NAMES: dict[str, str] = {}
"""Class names that two files use, and why. A schema of the API may be named after the table or value that it shows."""
CLASS_NAMES_NOT_DONE: frozenset[str] = frozenset(
    {
        "Asked",
        "Failure",
        "Links",
        "Measured",
        "OutcomeUnknown",
        "Round",
        "Size",
        "Submitted",
        "Worker",
    }
)


def _words(name: str) -> str:
    """Return the words in `name`, lower-case, with spaces around: ` api key `."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return "".join(f" {word.lower()}" for word in re.findall(r"[A-Za-z0-9]+", apart)) + " "


def _overloaded(name: str) -> list[str]:
    return [word for word in (*OVERLOADED, *TURNS) if f" {word} " in _words(name)]


def _names_in(tree: ast.Module) -> Iterator[str]:
    """Yield the names of classes, functions and columns."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.ClassDef(name=name):
                yield name
                if any(keyword.arg == "table" for keyword in node.keywords):
                    yield from _columns(node)


def _columns(table: ast.ClassDef) -> Iterator[str]:
    for node in table.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id


def _found() -> dict[str, list[str]]:
    """Return the names with an overloaded word, by room."""
    found: dict[str, list[str]] = {}
    for path, tree in trees().items():
        for name in (path.removesuffix(".py").rsplit("/", maxsplit=1)[-1], *_names_in(tree)):
            if _overloaded(name) and name not in EXCEPTIONS and not (room_of(path) == "sandbox" and _is_twin(name)):
                found.setdefault(room_of(path), []).append(f"{path}: {name}")
    return found


def _is_twin(name: str) -> bool:
    return _overloaded(name) == ["twin"]


def test_names_use_no_overloaded_word() -> None:
    assert {room: names for room, names in _found().items() if room not in ROOMS_NOT_DONE} == {}


def test_rooms_that_are_done_are_off_the_list() -> None:
    assert ROOMS_NOT_DONE - set(_found()) == set()


def test_every_exception_is_still_needed() -> None:
    used = {
        name
        for path, tree in trees().items()
        for name in (path.removesuffix(".py").rsplit("/", maxsplit=1)[-1], *_names_in(tree))
    }
    assert EXCEPTIONS.keys() - used == set()


def test_a_class_name_means_one_thing() -> None:
    shared = shared_class_names()
    assert shared.keys() - CLASS_NAMES.keys() - CLASS_NAMES_NOT_DONE == set()
    assert (CLASS_NAMES.keys() | CLASS_NAMES_NOT_DONE) - shared.keys() == set()


@pytest.mark.parametrize("name", ["asked_at", "Ask", "hold_run", "RunInLine", "hand_over", "told_by"])
def test_an_overloaded_name_is_found(name: str) -> None:
    assert _overloaded(name)


@pytest.mark.parametrize("name", ["task", "threshold", "deadline", "online", "Placeholder", "shortcut", "Answer"])
def test_what_only_looks_like_one_passes(name: str) -> None:
    assert not _overloaded(name)


def test_columns_are_names() -> None:
    source = "class Row(SQLModel, table=True):\n    asked_at: int\n    def place(self): ...\n"
    assert set(_names_in(ast.parse(source))) == {"Row", "asked_at", "place"}
