"""One database read for all callers that need the same read at the same moment."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")


class SharedReads:
    """Reads that are about to begin, by their key. Used from one event loop."""

    def __init__(self) -> None:
        self._gathering: dict[Hashable, asyncio.Task[Any]] = {}

    async def read(self, key: Hashable, read: Callable[[], Awaitable[T]]) -> T:
        """Return what `read()` returned, or another caller's of the same `key` that began after this call.

        A read that has begun is not shared: it may have missed what was committed meanwhile.
        """
        task: asyncio.Task[T] | None = self._gathering.get(key)
        if task is None:
            task = asyncio.create_task(self._begin(key, read))
            task.add_done_callback(_consume)
            self._gathering[key] = task
        return await asyncio.shield(task)

    async def _begin(self, key: Hashable, read: Callable[[], Awaitable[T]]) -> T:
        await asyncio.sleep(0)  # all who were woken together have come by then
        del self._gathering[key]
        return await read()


def _consume(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()  # told to those who wait; if they have gone, it is of no interest
