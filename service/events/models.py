"""Tables of this room."""

from datetime import datetime

from sqlalchemy import BigInteger, Column, Index, UniqueConstraint
from sqlmodel import Field, SQLModel

from service.kit.db.columns import Serial, UtcTime


class Event(SQLModel, table=True):
    """A fact. `body` is what every delivery signs and sends: never rebuilt, never re-ordered.

    `final_revision` is set on the one final event of a revision; the unique key is the second belt that there
    is only one. `transaction_id` is PostgreSQL's number of the transaction that wrote the row, 0 on SQLite: the feed
    goes by it first, because a position can be drawn early and committed late.
    """

    __tablename__ = "event"
    __table_args__ = (
        UniqueConstraint("account_id", "mode", "detection_id", "final_revision"),
        Index("ix_event_feed", "account_id", "mode", "transaction_id", "position"),
    )

    position: int | None = Field(default=None, sa_column=Column(Serial, primary_key=True))
    id: str = Field(unique=True)
    account_id: str
    mode: str
    type: str
    detection_id: str | None = Field(default=None, index=True)
    run_id: str | None = None
    revision: int | None = None
    final_revision: int | None = None
    body: bytes
    created_at: datetime = Field(sa_type=UtcTime)
    transaction_id: int = Field(sa_column=Column(BigInteger, nullable=False))
