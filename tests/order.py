"""In which order tests begin that several processes share: the long ones first, where they hold up nobody at the end.

What takes long mostly waits, and starts processes of its own. xdist's `worksteal` gives each process an equal share of
the collection, in its order, and who is done takes from the end of another's. So each share but the last begins with
some of the long files: one process is left that has only short tests, and a core is free for those that wait.
"""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import pytest

_LONG_FOLDERS = ("journeys",)
_LONG_FILES = ("test_demo", "test_dev", "test_dev_restarts", "test_patience")


def is_long(path: Path) -> bool:
    """Whether a test in this file starts processes and waits for them."""
    return path.parent.name in _LONG_FOLDERS or path.stem in _LONG_FILES


def shared_out(items: Sequence[pytest.Item], processes: int) -> list[pytest.Item]:
    """All of `items`, as so many processes should begin them. A file's tests stay together."""
    hands: list[list[pytest.Item]] = [[] for _ in range(processes - 1)]
    if not hands:
        return list(items)
    long = [item for item in items if is_long(item.path)]
    short = [item for item in items if not is_long(item.path)]
    for place, (_, file) in enumerate(groupby(long, key=lambda item: item.path)):
        hands[place % len(hands)] += file
    share, found = len(items) // processes, list[pytest.Item]()
    for hand in hands:
        filling = max(0, share - len(hand))
        found += [*hand, *short[:filling]]
        short = short[filling:]
    return found + short
