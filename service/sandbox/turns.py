"""How often something was asked of this process before: all that a twin remembers.

Bounded, and not shared: of two processes each counts for itself, and a restart forgets.
"""

from collections import OrderedDict
from typing import Final

from service.sandbox.script import Obstacle, Script

_KEPT: Final = 10_000


class Turns:
    """Counts by key. The key not asked for the longest is forgotten first."""

    def __init__(self, kept: int = _KEPT) -> None:
        self._counts: OrderedDict[str, int] = OrderedDict()
        self._kept = kept

    def turn(self, key: str) -> int:
        """How often `turn` was called with this key before."""
        before = self._counts.pop(key, 0)
        self._counts[key] = before + 1
        if len(self._counts) > self._kept:
            self._counts.popitem(last=False)
        return before

    def obstacle(self, name: str) -> Obstacle | None:
        """What the next submission of this name meets. None if nothing: then the row starts anew."""
        obstacles = Script.of(name).obstacles
        if not obstacles:
            return None
        turn = self.turn(name)
        if turn < len(obstacles):
            return obstacles[turn]
        del self._counts[name]
        return None
