"""The end of a web process: streams are closed first, and a requested stop has exit status 0."""

import asyncio
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from service.kit.concurrency.wake import Shutdown

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def closing_first(shutdown: Shutdown) -> Iterator[None]:
    """Inside, SIGTERM and SIGINT first begin `shutdown`, and then do what they did before.

    uvicorn waits for open answers before it tells the application that it ends: streams have to hear of it earlier.
    Called from the main thread, in the event loop.
    """
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def handle(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(shutdown.begin)
        then = before[signal.Signals(number)]
        if callable(then):
            then(number, frame)

    for number in _SIGNALS:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, then in before.items():
            if signal.getsignal(number) is handle:
                signal.signal(number, then)


def end_well() -> None:
    """From now on SIGTERM ends this process with status 0: uvicorn raises it again once all is drained."""
    signal.signal(signal.SIGTERM, _leave)


def _leave(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)
