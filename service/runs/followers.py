"""Telling the followers of a run that has ended: after that end has committed, in slices, found by their rows.

So one leader with thousands of followers holds no lock for long, and a process that dies between two slices loses
nothing: what is left to be told stands in the leader's row and in its followers'.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime

import structlog
from sqlalchemy import bindparam, or_, select, text, update
from sqlmodel import Session

from service.kit.clock import Clock
from service.kit.db.alone import Alone
from service.kit.db.database import Database
from service.runs.inputs import LeaderEnded
from service.runs.policy import DetectionPolicy
from service.runs.state.models import FOLLOWERS_DUE, RUN
from service.runs.step import Done, Work, step

log = structlog.get_logger()

SLICE = 10  # more of them hold SQLite's one writer so long that callbacks wait to be acknowledged
_LEADERS = 20

_DUE = (
    select(RUN.c.id, RUN.c.followers_due_at)
    .where(text(FOLLOWERS_DUE), RUN.c.id.not_in(bindparam("but", expanding=True)))
    .order_by(RUN.c.followers_due_at)
    .limit(_LEADERS)
)
_FOLLOWERS = (
    select(RUN.c.id)
    .where(RUN.c.follows_run_id == bindparam("leader"), RUN.c.id > bindparam("after"))
    .where(or_(RUN.c.ended_at.is_(None), RUN.c.state == "timed_out"))
    .order_by(RUN.c.id)
    .limit(SLICE)
)
_ALL_TOLD = (
    update(RUN)
    .where(RUN.c.id == bindparam("leader"), RUN.c.followers_due_at == bindparam("since"))
    .values(followers_due_at=None)
)


@dataclass(frozen=True, slots=True)
class FollowerTeller:
    """The followers that this process tells. `step` is called when woken."""

    database: Database
    policy: DetectionPolicy
    clock: Clock
    _alone: Alone = field(default_factory=lambda: Alone("tell followers"), init=False)

    async def step(self) -> bool:
        """Tell all followers of some leaders that have ended. Return True if there may be more."""
        leaders = await self.database.read(leaders_due, self._alone.left_out(self.clock()))

        async def tell(leader_id: str) -> None:
            await self._tell(leader_id, leaders[leader_id])

        await self._alone.each(list(leaders), tell, self.clock())
        return len(leaders) == _LEADERS

    async def _tell(self, leader_id: str, since: datetime) -> None:
        after, told = "", 0
        while (
            last := await self.database.write(tell_slice, leader_id, since, after, self.policy, self.clock())
        ) is not None:
            after, told = last, told + 1
        if told:
            log.info("followers.told", run_id=leader_id, slices=told)


def leaders_due(session: Session, but: Collection[str] = ()) -> dict[str, datetime]:
    """Return runs that have ended, and since when their followers are to learn of it; not those of `but`."""
    return {row[0]: row[1] for row in session.connection().execute(_DUE, {"but": sorted(but)})}


def tell_slice(
    session: Session, leader_id: str, since: datetime, after: str, policy: DetectionPolicy, now: datetime
) -> str | None:
    """Tell the leader's next followers; return the last of them, or `None` if all are told.

    If there was news since then, an answer that came late, they are told anew from the first one on.
    """
    connection = session.connection()
    ids = list(connection.execute(_FOLLOWERS, {"leader": leader_id, "after": after}).scalars())
    if not ids:
        connection.execute(_ALL_TOLD, {"leader": leader_id, "since": since})
        return None
    work = [Work(LeaderEnded(run_id, leader_id)) for run_id in ids]
    for run_id, done in zip(ids, step(session, work, policy, now), strict=True):
        if isinstance(done, Done) and done.error is not None:  # its own deadline ends it
            log.error("follower.failed", run_id=run_id, leader_id=leader_id, exc_info=done.error)
    return str(ids[-1])
