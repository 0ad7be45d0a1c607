"""No vendor is named where a further one would have to be named too: outside its adapter and its twin there are lists.

Comments and docstrings may speak of vendors, and `prices.toml` is data.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.vendors import VENDORS

_ROOT = Path(__file__).resolve().parents[2]
_SERVICE = _ROOT / "service"
_THEIR_OWN = {"vendors", "sandbox"}
_FURTHER = {"modulate", "mippia"}  # a vendor that has no line yet, and another name of one that has
EXAMPLES = {
    "api/v1/certificates.py": "a request's body, and one detector that issues certificates",
    "api/contract/everywhere.py": "what the name in a callback's path looks like",
    "api/v1/detections.py": "what a detector's name looks like, to whoever wrote another",
    "bench/driving/vendor.py": "the one detector that every measurement asks, and whose twin signs the callbacks",
    "cli/operate/vendor_accounts.py": "what a command's argument looks like, in its help",
}
"""Files where a vendor stands for any, and what of it is shown: another would do as well, and no more are needed."""


def _named(source: str) -> Iterator[str]:
    """The texts and names in `source`, but for comments, docstrings and the methods of others (`.asc()` sorts)."""
    tree = ast.parse(source)
    said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text)) if id(node) not in said:
                yield text
            case ast.Name(id=name) | ast.arg(arg=name) | ast.alias(name=name) | ast.keyword(arg=str(name)):
                yield name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.ImportFrom(module=str(module)):
                yield module


def _vendors_in(text: str) -> set[str]:
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text).lower()
    return set(re.findall(r"[a-z0-9]+", apart)) & {*VENDORS, *_FURTHER}


def _found() -> dict[str, list[str]]:
    """The texts that name a vendor, by file."""
    found = {}
    for path in sorted(_SERVICE.rglob("*.py")):
        place = path.relative_to(_SERVICE)
        texts = [text for text in _named(path.read_text(encoding="utf-8")) if _vendors_in(text)]
        if texts and place.parts[0] not in _THEIR_OWN:
            found[place.as_posix()] = texts
    return found


def test_no_file_names_a_vendor_but_for_an_example() -> None:
    assert {place: texts for place, texts in _found().items() if place not in EXAMPLES} == {}


def test_every_example_is_still_there() -> None:
    assert set(EXAMPLES) - set(_found()) == set()


@pytest.mark.parametrize(
    "source",
    [
        'ADDRESS = "/callbacks/asc"',
        'if vendor == "aippim": pass',
        'f"set ASC_API_KEY for {mode}"',
        "create(aippim_webhook_secret=secret)",
        "from service.vendors.pex import Pex",
        "from service.vendors import modulate",
        "class PexTwin: pass",
        "def check_aippim_address(): pass",
    ],
)
def test_a_name_is_found(source: str) -> None:
    assert any(_vendors_in(text) for text in _named(source))


@pytest.mark.parametrize(
    "source",
    [
        '"""As ASC does."""',
        "x = 1  # Pex",
        'class A:\n    b: int\n    """Of AIPPIM."""',
        "rows.order_by(x.asc())",
        '"ascending"',
    ],
)
def test_what_only_speaks_of_one_passes(source: str) -> None:
    assert not any(_vendors_in(text) for text in _named(source))
