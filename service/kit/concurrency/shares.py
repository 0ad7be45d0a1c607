"""A process's capacity for one kind of work, shared so that one owner's crowd never takes it all. Pure.

An owner may have as many places as it leaves free, so the next one always finds some; `at_least` it may have anyway.
"""

from collections import Counter


class Shares:
    """The owners of `capacity` places. `refused` names the owners that asked for more than their share."""

    def __init__(self, capacity: int, at_least: int = 2) -> None:
        self._capacity = capacity
        self._at_least = at_least
        self._taken: Counter[str] = Counter()
        self._total = 0
        self.refused: set[str] = set()

    @property
    def room(self) -> int:
        """Return how many places are free."""
        return max(0, self._capacity - self._total)

    def in_use(self, owner: str) -> int:
        """Return how many places `owner` has now."""
        return self._taken[owner]

    def left_for(self, owner: str) -> int:
        """Return how many more places `owner` may take now."""
        taken, room = self._taken[owner], self.room
        return max(0, min(room, max(self._at_least - taken, (room - taken + 1) // 2)))

    def may_go_on(self, owner: str) -> bool:
        """Return True if `owner` could take a good many more: as many as it holds."""
        return self.left_for(owner) >= max(1, self._taken[owner])

    def take(self, owner: str) -> bool:
        """Return True if `owner` has one place more; otherwise it is among the refused."""
        if not self.left_for(owner):
            self.refused.add(owner)
            return False
        self.hold(owner)
        return True

    def hold(self, owner: str) -> None:
        """Count one place more for `owner`, whatever its share."""
        self._taken[owner] += 1
        self._total += 1

    def release(self, owner: str) -> bool:
        """Give one place of `owner` back. Return True if it was refused before and could now go on with a good many."""
        self._taken[owner] -= 1
        self._total -= 1
        if not self._taken[owner]:
            del self._taken[owner]
        if owner not in self.refused or not self.may_go_on(owner):
            return False
        self.refused.discard(owner)
        return True

    def copy(self) -> "Shares":
        """Return the same counts, to be counted on elsewhere; no owner is refused in it yet."""
        other = Shares(self._capacity, self._at_least)
        other._taken, other._total = self._taken.copy(), self._total
        return other
