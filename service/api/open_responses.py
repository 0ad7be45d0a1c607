"""Responses that stay open, streams and `?wait=`: how many a key may have at once, and what they share.

Each web process counts for itself, as with requests a minute.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from service.kit.concurrency.shared_reads import SharedReads
from service.kit.errors import CallerError

MOST_A_KEY = 20
_RETRY_SECONDS = 5


class OpenResponses:
    """The open responses of this process, by key; the reads they share; and which keys were found good lately."""

    def __init__(self, most_a_key: int = MOST_A_KEY, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._most_a_key = most_a_key
        self._monotonic = monotonic
        self._open: Counter[str] = Counter()
        self._good_until: dict[str, float] = {}
        self.reads = SharedReads()

    def begin(self, key_id: str) -> None:
        """Count one more of this key. Raise `CallerError` 429 where it has as many as it may."""
        if self._open[key_id] >= self._most_a_key:
            raise CallerError(
                "too_many_open",
                f"This key has {self._most_a_key} streams and waiting requests open, the maximum. Close some first;"
                " one stream of /v1/events/stream covers every detection.",
                status=429,
                headers={"Retry-After": str(_RETRY_SECONDS)},
            )
        self._open[key_id] += 1

    def end(self, key_id: str) -> None:
        """Count one less of this key."""
        self._open[key_id] -= 1
        if not self._open[key_id]:
            del self._open[key_id]
            self._good_until.pop(key_id, None)

    @contextmanager
    def one_more(self, key_id: str) -> Iterator[None]:
        """Count one of this key for as long as this lasts."""
        self.begin(key_id)
        try:
            yield
        finally:
            self.end(key_id)

    def is_good(self, key_id: str) -> bool:
        """Return True if another of the key's answers has just found it good."""
        return self._monotonic() < self._good_until.get(key_id, 0.0)

    def found_good(self, key_id: str, seconds: float) -> None:
        """Treat the key as good for so many seconds, for all its open answers."""
        self._good_until[key_id] = self._monotonic() + seconds
