"""The loops of a worker, turned as a worker turns them, but in step with a clock that leaps."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random

from service.kit.concurrency.wake import Wake
from service.loops import Loop
from service.worker import Worker

# The one measures our clock against the database's; the other goes by the time in ids, which no test turns.
_LEFT_OUT = ("beat", "prune")
_FINDS_SECONDS = 0.01
_INTERVAL_SECONDS = 0.1  # of those that go by the clock alone


def turned(worker: Worker) -> list[Loop]:
    """Return the loops that a test can turn on a clock of its own."""
    return [loop for loop in worker.loops() if loop.name not in _LEFT_OUT]


@dataclass
class Turning:
    """The loops of one process: each begins a round when woken, when it has a row that is due, or by the clock."""

    worker: Worker
    wake: Wake
    random: Random
    faults: list[str]
    ended: bool = False
    _events: dict[str, asyncio.Event] = field(default_factory=dict)

    async def turn(self) -> None:
        """Turn all of them until it has ended."""
        loops = turned(self.worker)
        for loop in loops:
            self._events[loop.name] = self.wake.subscribe(loop.topic or loop.name)
        await asyncio.gather(self._find(), *(self._rounds(loop) for loop in loops))

    async def _find(self) -> None:
        """Begin rounds where a row is due."""
        while not self.ended:
            names, _ = await self.worker.find_due()
            for event in [self._events[name] for name in names if name in self._events]:
                event.set()
            await asyncio.sleep(self.random.uniform(0.5, 2) * _FINDS_SECONDS)

    async def _rounds(self, loop: Loop) -> None:
        event = self._events[loop.name]
        while not self.ended:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_INTERVAL_SECONDS):
                    await event.wait()
            if not event.is_set() and loop.every is None:
                continue  # it has nothing to do, as far as anybody knows
            event.clear()
            await self._round(loop.name, loop.step)

    async def _round(self, name: str, step: Callable[[], Awaitable[bool]]) -> None:
        try:
            while await step() and not self.ended:
                pass
        except Exception as error:  # noqa: BLE001 - whatever it was, it is told
            self.faults.append(f"loop {name}: {type(error).__name__}: {str(error)[:300]}")
