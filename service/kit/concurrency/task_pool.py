"""Requests under way in a process that may have to end before they do.

Only the request is interrupted, never a transaction: its caller gets `ShutdownInterrupt`, and still records what that
means for its row. So no row waits for its lease to end while a process is there to settle it.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from service.kit.errors import RelayError

T = TypeVar("T")

_LAST_WORDS_SECONDS = 3.0


class ShutdownInterrupt(RelayError):  # noqa: N818 - it says what happened
    """This process is ending: the request was broken off, or not begun."""


class TaskPool:
    """The requests of one kind. `closed` says that nothing new may be claimed, `is_interrupted` that none may go on.

    A request runs in its caller's task, which is cancelled only during the request.
    """

    def __init__(self) -> None:
        self.closed = False
        self.is_interrupted = False
        self._under_way: set[asyncio.Task[Any]] = set()

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what `work` returned. Raise `ShutdownInterrupt` where the process ends first."""
        task = asyncio.current_task()
        if self.is_interrupted or task is None:
            work.close()
            raise ShutdownInterrupt
        self._under_way.add(task)
        try:
            return await work
        except asyncio.CancelledError:
            if not self.is_interrupted:
                raise
            task.uncancel()  # only the request ends: the task itself goes on, to record what that means
            raise ShutdownInterrupt from None
        finally:
            self._under_way.discard(task)

    def interrupt(self) -> None:
        """Cancel every request under way, and let no further one begin."""
        self.closed = self.is_interrupted = True
        for task in self._under_way:
            task.cancel()

    async def drain(self, tasks: set[asyncio.Task[None]], within: float) -> None:
        """Wait until all `tasks` have ended: `within` seconds for their requests, then a moment to record the end.

        `tasks` is the owner's own set: what joins it meanwhile is waited for too.
        """
        self.closed = True
        await _ended(tasks, within)
        self.interrupt()
        await _ended(tasks, _LAST_WORDS_SECONDS)
        late = list(tasks)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)


async def _ended(tasks: set[asyncio.Task[None]], within: float) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + within
    while tasks and (left := end - loop.time()) > 0:
        await asyncio.wait(set(tasks), timeout=left)
