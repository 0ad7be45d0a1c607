"""Each package we stand on has its reason written down, is pinned, and is pinned to files by their hashes."""

import re
import tomllib
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]
_PINS = ["requirements.txt", "requirements-dev.txt"]


def _project() -> dict[str, dict[str, list[str]]]:
    found: dict[str, dict[str, list[str]]] = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return found


def _name(requirement: str) -> str:
    """The package, normalised as PyPI does it (PEP 503)."""
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match
    return re.sub(r"[-_.]+", "-", match[0]).lower()


def _pinned(file: str) -> dict[str, str]:
    """Each requirement of `file` by its package, its continued lines joined."""
    joined = (_ROOT / file).read_text(encoding="utf-8").replace("\\\n", " ")
    return {_name(line): line for line in joined.splitlines()}


def _reasons() -> list[tuple[str, str]]:
    """Package and version of each line of the list, in its order."""
    lines = (_ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8").split("## For development")[0]
    return re.findall(r"^\| `([^`]+)` \| (\S+) \| \S", lines, flags=re.MULTILINE)


def test_every_dependency_has_its_reason_and_every_reason_its_dependency() -> None:
    named = [name for name, _ in _reasons()]
    assert named == sorted(_name(line) for line in _project()["project"]["dependencies"])


def test_reasons_name_the_version_that_is_pinned() -> None:
    pinned = _pinned("requirements.txt")
    assert _reasons()
    assert [(name, version) for name, version in _reasons() if f"=={version} " not in pinned[name]] == []


@pytest.mark.parametrize("file", _PINS)
def test_every_dependency_is_pinned(file: str) -> None:
    wanted = {_name(line) for line in _project()["project"]["dependencies"]}
    assert wanted <= _pinned(file).keys()


def test_every_tool_is_pinned() -> None:
    assert {_name(line) for line in _project()["dependency-groups"]["dev"]} <= _pinned("requirements-dev.txt").keys()


def test_the_tests_run_with_the_versions_that_are_shipped() -> None:
    shipped, tested = _pinned(_PINS[0]), _pinned(_PINS[1])
    assert {name: tested.get(name) for name in shipped} == shipped


@pytest.mark.parametrize("file", _PINS)
def test_every_pin_is_one_version_with_the_hashes_of_its_files(file: str) -> None:
    whole = re.compile(r"[a-z0-9._-]+==\S+( ; [^#]+?)?( +--hash=sha256:[0-9a-f]{64})+ *")
    lines = _pinned(file).values()
    assert lines
    assert [line[:60] for line in lines if not whole.fullmatch(line)] == []


@pytest.mark.parametrize("file", _PINS)
def test_pins_name_no_index_no_path_and_no_host(file: str) -> None:
    text = (_ROOT / file).read_text(encoding="utf-8")
    words = ["--index-url", "--extra-index-url", "--find-links", "--trusted-host", "#", "://", "file:", " @ "]
    assert [word for word in words if word in text] == []
