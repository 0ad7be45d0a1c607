"""A process that works shows that it lives: a row a process, beaten every few seconds, so a dead one is seen."""

import json
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, update
from sqlmodel import Field, Session, SQLModel, col, func, select

from service.kit.db.columns import UtcTime, table_of
from service.kit.telemetry.metrics import Figures


class Worker(SQLModel, table=True):
    """A process that works: a row a process, so that a dead one is seen."""

    __tablename__ = "worker"

    id: str = Field(primary_key=True)
    kind: str
    started_at: datetime = Field(sa_type=UtcTime)
    heartbeat_at: datetime = Field(sa_type=UtcTime, index=True)
    counts_json: str = "{}"


def beat(session: Session, worker_id: str, kind: str, counts: Figures, now: datetime) -> None:
    """Let the process's row show `now`; make it at the first beat."""
    counts_json = json.dumps(dict(counts), sort_keys=True)
    beaten = session.connection().execute(_BEAT, {"row_id": worker_id, "now": now, "counts": counts_json})
    if not beaten.rowcount:
        session.add(Worker(id=worker_id, kind=kind, started_at=now, heartbeat_at=now, counts_json=counts_json))


def _beat_statement() -> Any:
    worker = table_of(Worker)
    beaten = update(worker).where(worker.c.id == bindparam("row_id"))
    return beaten.values(heartbeat_at=bindparam("now"), counts_json=bindparam("counts"))


_BEAT = _beat_statement()


def last_beat(session: Session, host: str) -> datetime | None:
    """Return when a process of this machine or container last showed itself; `None` where none ever did."""
    ours = col(Worker.kind).startswith(f"{host}:", autoescape=True)
    return session.exec(select(func.max(Worker.heartbeat_at)).where(ours)).one()
