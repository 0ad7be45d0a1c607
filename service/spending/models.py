"""Tables of this room."""

from datetime import datetime

from sqlalchemy import BigInteger, Column, Index
from sqlmodel import Field, SQLModel

from service.kit.db.columns import Serial, UtcTime


class Gate(SQLModel, table=True):
    """What we may still ask of a vendor; charged in the claim's transaction, shared by all workers."""

    __tablename__ = "gate"

    vendor: str = Field(primary_key=True)
    mode: str = Field(primary_key=True)
    minute_json: str = "[]"  # the last minute's requests: [[unix second, how many], …], the oldest first
    # requests a day: since midnight UTC
    window_started_at: datetime | None = Field(default=None, sa_type=UtcTime)
    window_used: int = 0
    # what the vendor said is left, and until when that holds
    quota_left: int | None = None
    resets_at: datetime | None = Field(default=None, sa_type=UtcTime)
    quota_limit: int | None = None  # of how many: its own limit of that window, else the most that was left in it
    # the vendor said: not before, and which limit of its that is; or `out_of_credit`, which holds up submissions only
    closed_until: datetime | None = Field(default=None, sa_type=UtcTime)
    closed_for: str | None = None
    # closed, open, half_open; `circuit_until` is when the next probe may go
    circuit: str = "closed"
    circuit_until: datetime | None = Field(default=None, sa_type=UtcTime)
    failures: int = 0  # one after another
    opened: int = 0  # how often since it was last closed
    failing_since: datetime | None = Field(default=None, sa_type=UtcTime)  # the first of `failures`
    last_error: str | None = None  # what the last of them was, a reason code
    # when the last in line can hope to go; null while nobody stands there
    queue_until: datetime | None = Field(default=None, sa_type=UtcTime)
    # when the vendor was last asked what is left, and how many requests of that day had gone with that one
    quota_checked_at: datetime | None = Field(default=None, sa_type=UtcTime)
    quota_checked_used: int | None = None


class Entry(SQLModel, table=True):
    """One submission that a vendor took, or may have taken, and its price. Written before the request leaves."""

    __tablename__ = "ledger"
    __table_args__ = (Index("ix_ledger_account", "account_id", "mode", "at"),)

    id: int | None = Field(default=None, sa_column=Column(Serial, primary_key=True))
    account_id: str
    mode: str
    detection_id: str
    run_id: str = Field(index=True)
    detector: str
    at: datetime = Field(sa_type=UtcTime)
    amount_micros: int | None = Field(default=None, sa_type=BigInteger)  # null: the price is not known
    currency: str | None = None
    basis: str  # list_price, vendor_reported, estimate, unknown
    kind: str  # charge, possible_duplicate
    billed: bool | None = None  # true: the vendor took it; null: perhaps it did


class Budget(SQLModel, table=True):
    """What an account may spend in a calendar month (UTC)."""

    __tablename__ = "budget"

    account_id: str = Field(primary_key=True, foreign_key="account.id")
    mode: str = Field(primary_key=True)
    currency: str = Field(primary_key=True)
    amount_micros: int = Field(sa_type=BigInteger)
    changed_at: datetime = Field(sa_type=UtcTime)
