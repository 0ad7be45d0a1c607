"""Counts of what was asked of this process before: all that a twin remembers.

Bounded, and not shared: of two processes each counts for itself, and a restart forgets.
"""

from collections import OrderedDict
from typing import Final

from service.sandbox.script import Obstacle, Script

_KEPT: Final = 10_000


class CallCounter:
    """Counts by key. The key that was not counted for the longest is forgotten first."""

    def __init__(self, kept: int = _KEPT) -> None:
        self._counts: OrderedDict[str, int] = OrderedDict()
        self._kept = kept

    def count(self, key: str) -> int:
        """Count one more call with this key and return the number of calls before it."""
        before = self._counts.pop(key, 0)
        self._counts[key] = before + 1
        if len(self._counts) > self._kept:
            self._counts.popitem(last=False)
        return before

    def obstacle(self, name: str) -> Obstacle | None:
        """Return what the next submission of this name meets; None once all are met: then they begin anew."""
        obstacles = Script.of(name).obstacles
        if not obstacles:
            return None
        before = self.count(name)
        if before < len(obstacles):
            return obstacles[before]
        del self._counts[name]
        return None
