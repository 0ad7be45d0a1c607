"""A docstring's first line commands (*Return, Raise, Lock*); ruff holds it, but for the rooms that are on a list.

The list, in pyproject.toml, only shrinks: a room that is clean and still on it fails here.
"""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_RULE = "D401"


def _rooms_not_done() -> set[str]:
    """Return the rooms that `per-file-ignores` spares the rule."""
    settings = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    spared = settings["tool"]["ruff"]["lint"]["per-file-ignores"]
    return {pattern for pattern, rules in spared.items() if _RULE in rules and pattern.startswith("service/")}


def refused() -> dict[str, list[str]]:
    """Return what ruff refuses, by the pattern of its room."""
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", _RULE, "--output-format", "json"]
    found = subprocess.run([*command, "service"], cwd=_ROOT, capture_output=True, text=True, check=False)
    refused: dict[str, list[str]] = {}
    for fault in json.loads(found.stdout):
        path = Path(fault["filename"]).relative_to(_ROOT)
        refused.setdefault(f"service/{path.parts[1]}/**/*.py", []).append(f"{path}:{fault['location']['row']}")
    return refused


def test_a_room_is_on_the_list_while_it_needs_to_be_and_no_longer() -> None:
    assert _rooms_not_done() - set(refused()) == set(), "take these lines out of pyproject.toml: the rooms are done"


def test_no_room_is_spared_whole_that_is_not_on_the_list() -> None:
    rooms = {path.name for path in (_ROOT / "service").iterdir() if path.is_dir()}
    assert {pattern.split("/")[1] for pattern in _rooms_not_done()} <= rooms
