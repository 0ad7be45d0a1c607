"""What the readiness probe knows of writing: tried now and then, and at once after a write failed."""

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path

from service.api.problems import FAULTS
from service.kit.db.database import Database
from service.kit.faults import Fault, fault_of
from service.media.store import Store, try_to_write

_GOOD_SECONDS, _BAD_SECONDS = 10.0, 1.0


@dataclass(slots=True)
class Writable:
    """The last result of a trial write. However many requests come, one is made every few seconds at most."""

    _tried_at: float | None = None
    _fault: Fault | None = None
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def fault(self, database: Database, store: Store, staging: Path | None) -> Fault | None:
        """Return the fault that prevents writing; `None` without one."""
        async with self._lock:
            if self._is_stale():
                self._fault = await self._try(database, store, staging)
                self._tried_at = time.monotonic()
            return self._fault

    def _is_stale(self) -> bool:
        if self._tried_at is None or FAULTS.failed_at > self._tried_at:
            return True
        return time.monotonic() - self._tried_at >= (_GOOD_SECONDS if self._fault is None else _BAD_SECONDS)

    async def _try(self, database: Database, store: Store, staging: Path | None) -> Fault | None:
        try:
            await try_to_write(database, store, staging)
        except Exception as error:
            fault = fault_of(error)
            if fault is None:
                raise
            return fault
        return None
