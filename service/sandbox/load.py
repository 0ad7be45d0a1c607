"""How many requests a twin works on at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final

_QUIET_SECONDS: Final = 60


class Load:
    """Requests at a time, counted in this process.

    One that grows makes room for one more with each refusal, until a minute has passed without a request: so Pex's
    guide for clients tells of its service.
    """

    def __init__(self, capacity: int, *, grows: bool = False) -> None:
        self._least = self._room = capacity
        self._grows = grows
        self._busy = 0
        self._last_at: datetime | None = None

    @contextmanager
    def taken(self, now: datetime) -> Iterator[bool]:
        """Whether there is room for one more, which it has until the block ends. At capacity 0 there always is."""
        borne = self._is_borne(now)
        self._busy += borne
        try:
            yield borne
        finally:
            self._busy -= borne

    def _is_borne(self, now: datetime) -> bool:
        if not self._least:
            return True
        if self._last_at is not None and (now - self._last_at).total_seconds() > _QUIET_SECONDS:
            self._room = self._least
        self._last_at = now
        if self._busy < self._room:
            return True
        self._room += self._grows
        return False
