"""The table of this room."""

from datetime import datetime

from sqlmodel import Field, SQLModel

from service.kit.db.columns import UtcTime


class Gate(SQLModel, table=True):
    """The requests that a vendor still takes; counted in the claim's transaction, shared by all workers."""

    __tablename__ = "gate"

    vendor: str = Field(primary_key=True)
    mode: str = Field(primary_key=True)
    minute_json: str = "[]"  # the last minute's requests: [[unix second, how many], …], the oldest first
    # requests a day: since midnight UTC
    window_started_at: datetime | None = Field(default=None, sa_type=UtcTime)
    window_used: int = 0
    # what the vendor reported as left, and until when that applies
    quota_left: int | None = None
    resets_at: datetime | None = Field(default=None, sa_type=UtcTime)
    quota_limit: int | None = None  # of how many: its own limit of that window, else the most that was left in it
    # not before this time, by the vendor's word, and because of which limit; or `out_of_credit`: only submissions wait
    closed_until: datetime | None = Field(default=None, sa_type=UtcTime)
    closed_for: str | None = None
    # closed, open, half_open; `circuit_until` is when the next probe may go
    circuit: str = "closed"
    circuit_until: datetime | None = Field(default=None, sa_type=UtcTime)
    failures: int = 0  # one after another
    opened: int = 0  # how often since it was last closed
    failing_since: datetime | None = Field(default=None, sa_type=UtcTime)  # the first of `failures`
    last_error: str | None = None  # what the last of them was, a reason code
    # when the last run in the queue can expect to go; null while the queue is empty
    queue_until: datetime | None = Field(default=None, sa_type=UtcTime)
    # when the vendor was last asked what is left, and how many requests of that day had gone with that one
    quota_checked_at: datetime | None = Field(default=None, sa_type=UtcTime)
    quota_checked_used: int | None = None
