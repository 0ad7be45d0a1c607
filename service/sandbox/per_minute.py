"""How many requests a twin takes in a minute."""

from collections import deque
from datetime import datetime
from typing import Final

_MINUTE_SECONDS: Final = 60


class PerMinute:
    """Requests of the last sixty seconds, counted in this process. At a limit of 0 none is counted."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken: deque[datetime] = deque()

    def takes(self, now: datetime) -> bool:
        """Whether one more is within the limit; what is not does not count."""
        if not self._limit:
            return True
        while self._taken and (now - self._taken[0]).total_seconds() >= _MINUTE_SECONDS:
            self._taken.popleft()
        if len(self._taken) >= self._limit:
            return False
        self._taken.append(now)
        return True
