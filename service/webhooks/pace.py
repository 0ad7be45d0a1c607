"""How fast this process may go at one endpoint: how many attempts at once, how many in any one second.

Pure: `now` comes in. The rate is kept by each process for itself; what several do together is not known here.
"""

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta

_SECOND = timedelta(seconds=1)
_FARTHEST = timedelta(seconds=60)


@dataclass(slots=True)
class Pace:
    """One endpoint's attempts. `most_at_once` caps those under way, `per_second` those begun in a second."""

    most_at_once: int
    under_way: int = 0
    _begun: deque[datetime] = field(default_factory=deque)
    _line_ends: datetime | None = None

    def begin(self, per_second: int | None, now: datetime) -> bool:
        """Whether another attempt may begin now. If so, it is counted."""
        while self._begun and now - self._begun[0] >= _SECOND:
            self._begun.popleft()
        if self.under_way >= self.most_at_once or (per_second is not None and len(self._begun) >= per_second):
            return False
        self.under_way += 1
        if per_second is not None:
            self._begun.append(now)
        return True

    def end(self) -> None:
        """An attempt is over."""
        self.under_way -= 1

    def next_place(self, per_second: int | None, now: datetime) -> datetime:
        """When one that may not begin now should ask again: 1 to 60 s from now, one behind the other.

        Were they all to ask again at the same time, a long line would be claimed and handed back every second.
        """
        earliest, farthest = now + _SECOND, now + _FARTHEST
        end = self._line_ends
        place = earliest if end is None or not earliest <= end <= farthest else end
        self._line_ends = place + _SECOND / (per_second or self.most_at_once)
        return place

    def is_idle(self, now: datetime) -> bool:
        """Whether nothing is remembered that still matters."""
        lately = bool(self._begun) and now - self._begun[-1] < _SECOND
        return self.under_way == 0 and not lately and (self._line_ends is None or self._line_ends <= now)
