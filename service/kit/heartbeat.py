"""A process that works shows that it lives: a row a process, beaten every few seconds, so a dead one is seen."""

import json
from collections.abc import Mapping
from datetime import datetime

from sqlmodel import Field, Session, SQLModel, col, func, select

from service.kit.columns import UtcTime


class Worker(SQLModel, table=True):
    """A process that works: a row a process, so that a dead one is seen."""

    __tablename__ = "worker"

    id: str = Field(primary_key=True)
    kind: str
    started_at: datetime = Field(sa_type=UtcTime)
    heartbeat_at: datetime = Field(sa_type=UtcTime, index=True)
    counts_json: str = "{}"


def beat(session: Session, worker_id: str, kind: str, counts: Mapping[str, float], now: datetime) -> None:
    """The process's row shows `now`; it is made at the first beat."""
    row = session.get(Worker, worker_id) or Worker(id=worker_id, kind=kind, started_at=now, heartbeat_at=now)
    row.heartbeat_at = now
    row.counts_json = json.dumps(dict(counts), sort_keys=True)
    session.add(row)


def last_beat(session: Session, host: str) -> datetime | None:
    """Return when a process of this machine or container last showed itself; `None` where none ever did."""
    ours = col(Worker.kind).startswith(f"{host}:", autoescape=True)
    return session.exec(select(func.max(Worker.heartbeat_at)).where(ours)).one()
