"""Waiting in tests for something to become true, with a deadline; never sleeping for luck."""

import asyncio
import inspect
import time
from collections.abc import Callable

import pytest

_PAUSE_SECONDS = 0.01
_LONGEST_PAUSE_SECONDS = 0.08  # who waits long looks seldom: a look may be a request to a process that is busy starting


async def until(predicate: Callable[[], object], *, seconds: float = 30) -> None:
    """`predicate()`, plain or async, has come true. The test fails if it has not after `seconds`.

    The default has room for a slow machine: where all is well nobody waits for it.
    """
    deadline = time.monotonic() + seconds
    pause = _PAUSE_SECONDS
    while not await _holds(predicate):
        if time.monotonic() > deadline:
            pytest.fail(f"still not true after {seconds} s: {_source(predicate)}")
        await asyncio.sleep(pause)  # the predicate may ask a database or a socket: there is no event
        pause = min(1.2 * pause, _LONGEST_PAUSE_SECONDS)


async def _holds(predicate: Callable[[], object]) -> bool:
    answer = predicate()
    return bool(await answer if inspect.isawaitable(answer) else answer)


def _source(predicate: Callable[[], object]) -> str:
    try:
        return inspect.getsource(predicate).strip()
    except (OSError, TypeError):
        return repr(predicate)
