"""One look at the database for all who want the same look at the same moment."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")


class SharedReads:
    """Looks that are about to begin, by what they look at. Used from one event loop."""

    def __init__(self) -> None:
        self._gathering: dict[Hashable, asyncio.Task[Any]] = {}

    async def read(self, key: Hashable, look: Callable[[], Awaitable[T]]) -> T:
        """Return what `look()` brought, or what another caller's did, of the same `key`, that began after this call.

        A look that has begun is not shared: what was committed meanwhile it may have missed.
        """
        task: asyncio.Task[T] | None = self._gathering.get(key)
        if task is None:
            task = asyncio.create_task(self._begin(key, look))
            task.add_done_callback(_heard)
            self._gathering[key] = task
        return await asyncio.shield(task)

    async def _begin(self, key: Hashable, look: Callable[[], Awaitable[T]]) -> T:
        await asyncio.sleep(0)  # all who were woken together have come by then
        del self._gathering[key]
        return await look()


def _heard(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()  # told to those who wait; if they have gone, it is of no interest
