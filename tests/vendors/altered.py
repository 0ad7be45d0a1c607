"""What is done to a vendor's answers before they are read: other letters, errors beside them, damage."""

import copy
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from hypothesis import strategies as st

from service.detectors.objections import objection
from service.detectors.port import Refused
from service.detectors.reading import Reading

KEY = "key_0f1e2d3c_never_shown"
# What speaks against a verdict at any layer is no junk.
NAMES = st.text().filter(lambda name: all(objection([{name: value}]) is None for value in (True, False, 500, "failed")))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=20,
)
IN_OTHER_LETTERS: tuple[Callable[[str], str], ...] = (
    str.upper,
    str.capitalize,
    str.title,
    " {} ".format,
    "\n{}\t".format,
)
_SAID = f"model_2 timed out, key {KEY}"
ERRORS: list[tuple[str, Any]] = [
    *(("error", value) for value in (_SAID, {"code": "e", "message": _SAID}, [_SAID], {"deep": {"text": _SAID}})),
    *(("errors", [{"text": _SAID}]), ("error_message", _SAID), ("errorMessage", _SAID)),
]
FAILURES: list[tuple[str, Any]] = [
    *(("error", True), ("success", False), ("ok", False), ("Success", "false"), ("failed", True)),
    *(("status", "failed"), ("status", "ERROR "), ("status", 500), ("state", "timed_out")),
]
HARMLESS: list[tuple[str, Any]] = [
    ("error", None),
    *(("error", ""), ("error", " "), ("error", False), ("error", []), ("error", {})),
    *(("error", {"code": None, "message": None}), ("errors", {"count": 0}), ("error_code", "0"), ("error", "none")),
    *(
        ("error", 0.013),
        ("errors", []),
        ("success", True),
        ("ok", True),
        ("success", None),
        ("failed", False),
        ("failed", 3),
    ),
]


def beside(body: Any, name: str, value: object, data: st.DataObject) -> Any:
    """`body` with this member in one of its objects, whichever."""
    whole = copy.deepcopy(body)
    layers = [*objects_in(whole)]
    layers[data.draw(st.integers(0, len(layers) - 1))][name] = value
    return whole


def objects_in(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from objects_in(each)


def without(value: Any, path: list[str]) -> Any:
    """`value` without the member at `path`."""
    first, *rest = path
    if isinstance(value, list):
        return [without(each, rest) if index == int(first) else each for index, each in enumerate(value)]
    if not rest:
        return {key: each for key, each in value.items() if key != first}
    return {**value, first: without(value[first], rest)}


def nulled(value: Any, path: list[str]) -> Any:
    """`value` with null at `path`."""
    first, *rest = path
    if isinstance(value, list):
        return [nulled(each, rest) if index == int(first) else each for index, each in enumerate(value)]
    return {**value, first: nulled(value[first], rest) if rest else None}


def almost(words: Collection[str]) -> st.SearchStrategy[str]:
    """A known word as no vendor writes it."""
    ways: list[Callable[[str], str]] = [
        str.upper,
        str.title,
        " {} ".format,
        "not-{}".format,
        "{}s".format,
        "{}\0".format,
    ]
    return st.builds(lambda word, way: way(word), st.sampled_from(sorted(words) or [""]), st.sampled_from(ways))


def renumbered(value: Any, numbers: Iterator[float]) -> Any:
    """`value` with every number in it replaced by the next of `numbers`."""
    if isinstance(value, Mapping):
        return {key: renumbered(each, numbers) for key, each in value.items()}
    if isinstance(value, list):
        return [renumbered(each, numbers) for each in value]
    return next(numbers) if isinstance(value, int | float) and not isinstance(value, bool) else value


def damage(value: Any, data: st.DataObject, junk: st.SearchStrategy[Any]) -> Any:
    """`value` with something, somewhere, missing or replaced."""
    if isinstance(value, Mapping) and value:
        key = data.draw(st.sampled_from(sorted(value)))
        rest = {other: each for other, each in value.items() if other != key}
        return rest if data.draw(st.booleans()) else {**rest, key: damage(value[key], data, junk)}
    if isinstance(value, list) and value:
        index = data.draw(st.integers(0, len(value) - 1))
        return [*value[:index], damage(value[index], data, junk), *value[index + 1 :]]
    return data.draw(junk)


def gist(found: Reading | Refused) -> tuple[object, ...]:
    """What must not depend on the letters of a word."""
    if isinstance(found, Refused):
        return found.reason_code, found.retryable
    return found.status, found.verdict, found.reason_code
