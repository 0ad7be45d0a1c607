"""One word for one thing: the synonyms that confuse our nouns stay out of the names of files, classes and tables.

The field's own words (job, task, provider, hook, label, mock, fake) are free.

Not looked at: `vendors/` and `sandbox/`, which speak the vendors' language, and `kit/`, which speaks of no product.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

_SERVICE = Path(__file__).resolve().parents[2] / "service"
_FREE = {"vendors", "sandbox", "kit"}
SAY_INSTEAD = {
    "tenant": "account",
    "customer id": "account id",
    "asset": "media",
    "scan": "detection",
    "upstream": "vendor",
    "notification": "event",
    "subscriber": "endpoint",
    "grab": "claim",
}


def _names() -> Iterator[tuple[str, str]]:
    for path in sorted(_SERVICE.rglob("*.py")):
        place = path.relative_to(_SERVICE)
        if place.parts[0] not in _FREE:
            yield str(place), str(place.with_suffix(""))
            yield from ((str(place), name) for name in _classes_and_tables(path.read_text(encoding="utf-8")))


def _classes_and_tables(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.ClassDef(name=name):
                yield name
            case ast.Assign(targets=[ast.Name(id="__tablename__")], value=ast.Constant(value=str(name))):
                yield name


def _words(name: str) -> str:
    """The words in `name`, in the singular, with spaces around: ` api key `."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return "".join(f" {word.lower().removesuffix('s')}" for word in re.findall(r"[A-Za-z0-9]+", apart)) + " "


def _synonyms(name: str) -> list[str]:
    return [word for word in SAY_INSTEAD if f" {word} " in _words(name)]


def test_names_use_the_words_of_the_glossary() -> None:
    names = list(_names())
    assert names
    wrong = [(place, name, {word: SAY_INSTEAD[word] for word in _synonyms(name)}) for place, name in names]
    assert [found for found in wrong if found[2]] == []


@pytest.mark.parametrize("name", ["ScanRow", "upstream_keys", "api/assets", "customer_id", "TenantKey", "Subscribers"])
def test_a_synonym_is_found(name: str) -> None:
    assert _synonyms(name)


@pytest.mark.parametrize("name", ["Webhook", "TaskPool", "Detection", "scanner", "customer", "ApiKey"])
def test_what_only_looks_like_a_synonym_passes(name: str) -> None:
    assert not _synonyms(name)


def test_classes_and_tables_are_read_from_the_source() -> None:
    source = 'class Job(SQLModel, table=True):\n    __tablename__ = "tasks"\n'
    assert list(_classes_and_tables(source)) == ["Job", "tasks"]
