"""Requests under way in a process that may have to end before they do.

Only the talking is broken off, never a transaction: whoever was cut hears `Cut`, and still writes down what that
means for its row. So nothing is left to a lease that somebody is there to settle.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from service.kit.errors import RelayError

T = TypeVar("T")

_LAST_WORDS_SECONDS = 3.0


class Cut(RelayError):  # noqa: N818 - it says what happened
    """This process is ending: the request was broken off, or not begun."""


class Talks:
    """The requests of one kind. `closed` says that nothing new may be claimed, `is_cut` that none may go on.

    A request is made in its caller's task, which is cancelled only while it talks.
    """

    def __init__(self) -> None:
        self.closed = False
        self.is_cut = False
        self._under_way: set[asyncio.Task[Any]] = set()

    async def talk(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` returned. Raises `Cut` where the process ends first."""
        task = asyncio.current_task()
        if self.is_cut or task is None:
            work.close()
            raise Cut
        self._under_way.add(task)
        try:
            return await work
        except asyncio.CancelledError:
            if not self.is_cut:
                raise
            task.uncancel()  # only the talking ends: the task itself goes on, to write down what that means
            raise Cut from None
        finally:
            self._under_way.discard(task)

    def cut(self) -> None:
        """Every request under way has ended or is about to, and no further one begins."""
        self.closed = self.is_cut = True
        for task in self._under_way:
            task.cancel()

    async def drain(self, tasks: set[asyncio.Task[None]], within: float) -> None:
        """All `tasks` have ended. They had `within` seconds for their requests, and a moment to record the cut.

        `tasks` is the owner's own set: what joins it meanwhile is waited for too.
        """
        self.closed = True
        await _ended(tasks, within)
        self.cut()
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
