"""Print the figures by which the weight of the code is judged: `make figures`."""

import re
import sys
from collections.abc import Iterable

from tests.house.measures import (
    ROOT,
    complex_functions,
    full_folders,
    imported_once,
    longest_chains,
    room_of,
    shared_class_names,
    sources,
)

FIRST_ROOMS = frozenset(
    {
        "accounts",
        "api",
        "callbacks",
        "cli",
        "detections",
        "detectors",
        "events",
        "kit",
        "media",
        "polling",
        "retention",
        "sandbox",
        "spending",
        "timeline",
        "vendors",
        "webhooks",
    }
)
"""The rooms that there were when the figures were first taken."""
REPLACING = frozenset({"billing", "quotas", "runs", "vendor_calls", "verdicts"})
"""Rooms that took the place of some of those: of `spending`, of `polling`, and of most of `detections`."""
SHORT = 60
MOST_FILES, MOST_COMPLEXITY = 15, 12
_PEOPLE = re.compile(r"\b(?:whoever|nobody|somebody|whom)\b", re.IGNORECASE)


def _size(names: Iterable[str]) -> str:
    chosen = list(names)
    return f"{len(chosen)} files, {sum(len(sources()[name].splitlines()) for name in chosen):,} lines"


def _people(texts: Iterable[str]) -> int:
    return sum(len(_PEOPLE.findall(text)) for text in texts)


def _corridor() -> int:
    """Return how many files the way of one detection names in docs/architecture.md."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \d+\w? \|([^|]+)\|", page, flags=re.MULTILINE)
    return len({name for row in rows for name in re.findall(r"`([^`]+)`", row)})


def figures() -> dict[str, object]:
    """Return each figure by what it counts."""
    at_first = [name for name in sources() if room_of(name) in FIRST_ROOMS or "/" not in name]
    replacing = [name for name in sources() if room_of(name) in REPLACING]
    short = [
        name
        for name, source in sources().items()
        if len(source.splitlines()) < SHORT and not name.endswith("__init__.py")
    ]
    chains = sorted(longest_chains().items(), key=lambda pair: -len(pair[1]))
    docs = [path.read_text(encoding="utf-8") for path in (ROOT / "docs").rglob("*.md")]
    return {
        "rooms of the first count, and top-level files": _size(at_first),
        "the same with the rooms that replaced some of them": _size([*at_first, *replacing]),
        "all of service/": _size(sources()),
        f"files under {SHORT} lines, without __init__": len(short),
        "modules that exactly one other imports": len(imported_once()),
        f"folders over {MOST_FILES} files": full_folders(MOST_FILES) or "none",
        "longest import chains inside a room": ", ".join(f"{room} {len(chain)}" for room, chain in chains[:4]),
        f"functions over complexity {MOST_COMPLEXITY}": complex_functions(MOST_COMPLEXITY) or "none",
        "whoever, nobody, somebody, whom": f"service/ {_people(sources().values())}, docs {_people(docs)}",
        "class names used twice": list(shared_class_names()) or "none",
        "files on the way of one detection (docs/architecture.md)": _corridor(),
    }


if __name__ == "__main__":
    for what, figure in figures().items():
        sys.stdout.write(f"{what}: {figure}\n")
