"""Callbacks on their way: when they leave, and how often they are tried. What they say is the twins' business.

They live in this process only. If it dies they are lost, as in life, and polling is the way.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from service.kit.clock import Clock
from service.sandbox.outgoing import Outgoing

_OK: Final = range(200, 300)
_REFUSED: Final = range(400, 500)


@dataclass(frozen=True)
class Callback:
    """One request to a client's address."""

    url: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


Write = Callable[[], Sequence[Callback]]
"""What there is to send, asked for when it falls due."""


class Callbacks:
    """The callbacks this process still owes."""

    def __init__(self, outgoing: Outgoing, clock: Clock, retry_seconds: float) -> None:
        self._outgoing = outgoing
        self._clock = clock
        self._retry_seconds = retry_seconds
        self._tasks: set[asyncio.Task[None]] = set()

    def plan(self, due_at: datetime, write: Write, *, tries: int = 1) -> asyncio.Task[None]:
        """Plan to send what `write` returns at `due_at`, one callback after the other, with so many tries each."""
        task = asyncio.create_task(self._carry(due_at, write, tries))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def aclose(self) -> None:
        """Drop all callbacks that are still planned."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _carry(self, due_at: datetime, write: Write, tries: int) -> None:
        # The loop's timer may fire a little before the clock gets there; a poll must not contradict a callback.
        while (wait := (due_at - self._clock()).total_seconds()) > 0:  # noqa: ASYNC110 - only time passes here
            await asyncio.sleep(wait)
        for callback in write():
            await self._try(callback, tries)

    async def _try(self, callback: Callback, tries: int) -> None:
        for left in reversed(range(tries)):
            answer = await self._outgoing.post(callback.url, callback.body, callback.headers)
            settled = answer is not None and (answer[0] in _OK or answer[0] in _REFUSED)
            if settled or not left:
                return
            await asyncio.sleep(self._retry_seconds)
