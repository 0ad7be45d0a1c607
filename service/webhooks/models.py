"""Tables of this room."""

from datetime import datetime

from sqlalchemy import BigInteger, Index, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from service.kit.columns import UtcTime

DELIVERY_WAITING = "state = 'due'"


class Endpoint(SQLModel, table=True):
    """A customer's URL that wants events."""

    __tablename__ = "endpoint"
    __table_args__ = (Index("ix_endpoint_account", "account_id", "mode", "created_at", "id"),)

    id: str = Field(primary_key=True)
    account_id: str
    mode: str
    url: str
    events_json: str
    description: str | None = None
    sealed_headers: bytes | None = None
    rate_limit_per_second: int | None = None
    status: str  # enabled, paused, disabled
    disabled_reason: str | None = None
    created_at: datetime = Field(sa_type=UtcTime)
    deleted_at: datetime | None = Field(default=None, sa_type=UtcTime)


class EndpointSecret(SQLModel, table=True):
    """What an endpoint's webhooks are signed with. Two may be valid at once, while one replaces the other."""

    __tablename__ = "endpoint_secret"

    id: str = Field(primary_key=True)
    endpoint_id: str = Field(foreign_key="endpoint.id", index=True)
    sealed: bytes
    valid_from: datetime = Field(sa_type=UtcTime)
    valid_until: datetime | None = Field(default=None, sa_type=UtcTime)


class Delivery(SQLModel, table=True):
    """One event to one endpoint. Narrow: this is the queue."""

    __tablename__ = "delivery"
    __table_args__ = (
        UniqueConstraint("endpoint_id", "event_id"),
        Index(
            "ix_delivery_due",
            "lane",
            "due_at",
            postgresql_where=text(DELIVERY_WAITING),
            sqlite_where=text(DELIVERY_WAITING),
        ),
        Index(
            "ix_delivery_endpoint_due",
            "endpoint_id",
            "due_at",
            postgresql_where=text(DELIVERY_WAITING),
            sqlite_where=text(DELIVERY_WAITING),
        ),
        Index("ix_delivery_order", "detection_id", "endpoint_id", "event_position"),
    )

    id: str = Field(primary_key=True)
    account_id: str
    mode: str
    endpoint_id: str
    event_id: str
    event_position: int = Field(sa_type=BigInteger)
    detection_id: str | None = None
    lane: str  # fresh, retry
    state: str  # due, blocked, held, succeeded, exhausted, skipped
    due_at: datetime | None = Field(default=None, sa_type=UtcTime)
    lease_token: str | None = None
    attempts: int = 0
    created_at: datetime = Field(sa_type=UtcTime)
    ended_at: datetime | None = Field(default=None, sa_type=UtcTime)


class Attempt(SQLModel, table=True):
    """One HTTP try of a delivery."""

    __tablename__ = "attempt"
    __table_args__ = (UniqueConstraint("delivery_id", "n"),)

    id: str = Field(primary_key=True)
    delivery_id: str
    n: int
    started_at: datetime = Field(sa_type=UtcTime)
    status_code: int | None = None
    error_class: str | None = None
    phases_json: str
    response_excerpt: bytes | None = None
    explanation: str


class SigningKey(SQLModel, table=True):
    """A key pair. The public half is never deleted: old signatures must stay checkable."""

    __tablename__ = "signing_key"

    kid: str = Field(primary_key=True)
    purpose: str
    public: bytes
    sealed_private: bytes | None = None
    created_at: datetime = Field(sa_type=UtcTime)
    retired_at: datetime | None = Field(default=None, sa_type=UtcTime)
