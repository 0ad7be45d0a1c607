"""Tables of this room."""

from datetime import datetime

from sqlalchemy import BigInteger, Column, Index
from sqlmodel import Field, SQLModel

from service.kit.db.columns import Serial, UtcTime


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
