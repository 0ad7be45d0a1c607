"""Passing on what a stream says while it still goes on. The receiver may be slow, and may fail.

What comes while one part is passed on, and in the second after it, goes together into the next: each part is kept,
and a vendor may send any number of messages. The stream never waits for it.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

import structlog

log = structlog.get_logger()

PassOn = Callable[[list[bytes], int], Awaitable[None]]
"""Called with messages, and the number in the stream of the first of them."""

_GRACE_SECONDS = 2.0
_APART_SECONDS = 1.0


class PartialResults:
    """What passes messages on in order while its block runs. At the end the rest has a moment, unless cancelled."""

    def __init__(self, pass_on: PassOn | None, run_id: str) -> None:
        self._pass_on = pass_on
        self._run_id = run_id
        self._new: list[bytes] = []
        self._passed_on = 0
        self._over = asyncio.Event()
        self._stirred = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def add(self, line: bytes) -> None:
        """Pass the message on later, with others if there are more. Return at once."""
        self._new.append(line)
        self._stirred.set()

    async def __aenter__(self) -> Self:
        if self._pass_on is not None:
            self._task = asyncio.create_task(self._run(self._pass_on))
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

    async def _run(self, pass_on: PassOn) -> None:
        while self._new or not self._over.is_set():
            await self._stirred.wait()
            self._stirred.clear()
            lines, self._new = self._new, []
            if lines:
                await self._try(pass_on, lines)
                await self._rest()
            self._passed_on += len(lines)
            if self._over.is_set() or self._new:
                self._stirred.set()

    async def _rest(self) -> None:
        """Wait a moment, or until the stream is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_APART_SECONDS):
                await self._over.wait()

    async def _try(self, pass_on: PassOn, lines: list[bytes]) -> None:
        try:
            await pass_on(lines, self._passed_on)
        except Exception as error:  # noqa: BLE001 - whatever happens to the receiver, the stream goes on
            log.warning("run.telling_failed", run_id=self._run_id, reason=type(error).__name__)
