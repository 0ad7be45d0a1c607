"""Passing on what a stream says while it still goes on. Whoever listens may be slow, and may fail.

What comes while one part is being told, and in the second after it, is told together in the next: each part is kept,
and a vendor may send any number of messages. The stream never waits for it.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

import structlog

log = structlog.get_logger()

Tell = Callable[[list[bytes], int], Awaitable[None]]
"""Tells the given messages, the first of which is the stream's number so-and-so."""

_GRACE_SECONDS = 2.0
_APART_SECONDS = 1.0


class Telling:
    """Inside, what is added is told in order. On leaving, the rest has a moment; a cancelled stream leaves none."""

    def __init__(self, tell: Tell | None, run_id: str) -> None:
        self._tell = tell
        self._run_id = run_id
        self._new: list[bytes] = []
        self._told = 0
        self._over = asyncio.Event()
        self._stirred = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def add(self, line: bytes) -> None:
        """The message will be told, with others if there are more. Returns at once."""
        self._new.append(line)
        self._stirred.set()

    async def __aenter__(self) -> Self:
        if self._tell is not None:
            self._task = asyncio.create_task(self._run(self._tell))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is None:
            return
        self._over.set()
        self._stirred.set()
        try:
            if error is None or isinstance(error, Exception):
                await asyncio.wait({self._task}, timeout=_GRACE_SECONDS)
        finally:
            self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self, tell: Tell) -> None:
        while self._new or not self._over.is_set():
            await self._stirred.wait()
            self._stirred.clear()
            lines, self._new = self._new, []
            if lines:
                await self._try(tell, lines)
                await self._rest()
            self._told += len(lines)
            if self._over.is_set() or self._new:
                self._stirred.set()

    async def _rest(self) -> None:
        """A moment has passed, or the stream is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_APART_SECONDS):
                await self._over.wait()

    async def _try(self, tell: Tell, lines: list[bytes]) -> None:
        try:
            await tell(lines, self._told)
        except Exception as error:  # noqa: BLE001 - whatever befalls the listener, the stream goes on
            log.warning("run.telling_failed", run_id=self._run_id, reason=type(error).__name__)
