"""The runner: gathers inputs, and steps through many detections in one transaction.

Batching is natural: the next batch gathers while the last commits. A caller is told of its own input after the commit
that held it. A batch never waits for rows that another transaction has: what could not be had comes again a
little later, and after three misses it gets a batch of its own that waits.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.exc import DBAPIError
from sqlmodel import Session

from service.kit.clock import Clock
from service.kit.db.database import Database, after_commit
from service.kit.db.group_commit import GroupCommit
from service.kit.faults import is_lost
from service.kit.telemetry.metrics import Histogram
from service.quotas.gate_store import GateUpdate
from service.runs.inputs import Input
from service.runs.policy import DetectionPolicy
from service.runs.step import Done, Missed, Work, step

DECISIONS = Histogram("relay_decision_seconds", "Batches of decisions: load, decide, save, commit.")

MOST_AT_ONCE = 50
_MISSES = 3
_FIRST_PAUSE_SECONDS = 0.05
_LOST_PAUSES_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0)


@dataclass(slots=True)
class Runner:
    """The inputs of one process. `put` returns what its input came to, after the commit."""

    database: Database
    policy: DetectionPolicy
    clock: Clock
    _writer: GroupCommit[Work, Done | Missed] = field(init=False)

    def __post_init__(self) -> None:
        """Gather at most so many inputs a batch as hold the writer's lock for some 25 ms."""
        self._writer = GroupCommit(self.database, self._step, max_rows=MOST_AT_ONCE, name="runs")

    async def put(self, happened: Input, feedback: GateUpdate | None = None) -> Any:
        """Return the input's outcome. Raise what its rule raised.

        What a vendor answered comes only once: where the connection to the database is lost meanwhile the input is
        put again, and its lease token makes that safe.
        """
        work = Work(happened, feedback)
        for pause in _LOST_PAUSES_SECONDS:
            try:
                return await self._put(work)
            except DBAPIError as error:
                if not is_lost(error):
                    raise
            await asyncio.sleep(pause)
        return await self._put(work)

    async def drain(self) -> None:
        """Wait until everything put so far is committed or has failed."""
        await self._writer.drain()

    async def _put(self, work: Work) -> Any:
        pause = _FIRST_PAUSE_SECONDS
        for _ in range(_MISSES):
            done = await self._writer.add(work)
            if isinstance(done, Done):
                return done.result()
            await asyncio.sleep(pause)
            pause *= 2
        while True:
            done = await self.database.write(self._step_alone, work)
            if isinstance(done, Done):
                return done.result()

    def _step(self, session: Session, work: Sequence[Work]) -> list[Done | Missed]:
        _measure(session)
        return step(session, work, self.policy, self.clock(), wait=False)

    def _step_alone(self, session: Session, work: Work) -> Done | Missed:
        _measure(session)
        (done,) = step(session, [work], self.policy, self.clock(), wait=True)
        return done


def _measure(session: Session) -> None:
    """Observe how long this transaction takes from now on, once it has committed."""
    started = time.monotonic()
    after_commit(session, lambda: DECISIONS.observe(time.monotonic() - started))
