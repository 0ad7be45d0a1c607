"""Tables of this room."""

from datetime import datetime

from sqlmodel import Field, SQLModel

from service.kit.columns import UtcTime


class Gate(SQLModel, table=True):
    """What we may still ask of a vendor; charged in the claim's transaction, shared by all workers."""

    __tablename__ = "gate"

    vendor: str = Field(primary_key=True)
    mode: str = Field(primary_key=True)
    tokens: float
    refilled_at: datetime = Field(sa_type=UtcTime)
    window_started_at: datetime | None = Field(default=None, sa_type=UtcTime)
    window_used: int = 0
    quota_left: int | None = None
    resets_at: datetime | None = Field(default=None, sa_type=UtcTime)
    circuit: str = "closed"
    circuit_until: datetime | None = Field(default=None, sa_type=UtcTime)
