"""Tables of this room."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import BigInteger, ColumnElement, Index, UniqueConstraint, literal_column, text
from sqlmodel import Field, SQLModel

from service.kit.db.columns import UtcTime
from service.kit.security.resealing import Sealed
from service.webhooks.sending.signing import HEADERS_PURPOSE, SECRET_PURPOSE, SIGNING_KEY_PURPOSE

# Literal, as the indexes have them: a test holds them to the states.
DELIVERY_WAITING = "state = 'due'"
DELIVERY_HELD = "state = 'held'"
DELIVERY_BLOCKED = "state = 'blocked'"
DELIVERY_ENDED = "ended_at IS NOT NULL"
ENDPOINT_FAILING = "failing_since IS NOT NULL"


def in_states(column: ColumnElement[str], states: Iterable[str]) -> ColumnElement[bool]:
    """Return the condition that the column is one of these, in literal SQL: so it finds its partial index."""
    return column.in_([literal_column(f"'{state}'") for state in states])


class Endpoint(SQLModel, table=True):
    """A customer's URL that wants events.

    Since `failing_since` no attempt has succeeded, and `failures` have been counted. `failure_reported`: the account
    was told so by an event, and is to be told of the recovery by another.
    """

    __tablename__ = "endpoint"
    __table_args__ = (
        Index("ix_endpoint_account", "account_id", "mode", "created_at", "id"),
        Index(
            "ix_endpoint_failing",
            "failing_since",
            postgresql_where=text(ENDPOINT_FAILING),
            sqlite_where=text(ENDPOINT_FAILING),
        ),
    )

    id: str = Field(primary_key=True)
    account_id: str
    mode: str
    url: str
    events_json: str
    description: str | None = None
    sealed_headers: bytes | None = None
    rate_limit_per_second: int | None = None
    status: str  # an `EndpointState`
    disabled_reason: str | None = None  # a `DisabledReason`
    enabled_at: datetime | None = Field(default=None, sa_type=UtcTime)  # the last time it was enabled again
    release_choice: str | None = None  # what becomes of what was held by then: all, newest, none
    failing_since: datetime | None = Field(default=None, sa_type=UtcTime)
    failures: int = 0
    warned_percent: int = 0
    failure_reported: bool = False
    created_at: datetime = Field(sa_type=UtcTime)
    deleted_at: datetime | None = Field(default=None, sa_type=UtcTime)


class EndpointSecret(SQLModel, table=True):
    """A secret that signs an endpoint's webhooks. Several may be valid at once, while one replaces the others."""

    __tablename__ = "endpoint_secret"

    id: str = Field(primary_key=True)
    endpoint_id: str = Field(foreign_key="endpoint.id", index=True)
    sealed: bytes
    valid_from: datetime = Field(sa_type=UtcTime)
    valid_until: datetime | None = Field(default=None, sa_type=UtcTime)


class Delivery(SQLModel, table=True):
    """One event to one endpoint. Narrow: this is the queue.

    `attempts_before` were made before it was last sent again: the schedule counts from there, `n` goes on.
    """

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
        Index(
            "ix_delivery_endpoint_held",
            "endpoint_id",
            "event_position",
            postgresql_where=text(DELIVERY_HELD),
            sqlite_where=text(DELIVERY_HELD),
        ),
        Index(
            "ix_delivery_blocked",
            "created_at",
            postgresql_where=text(DELIVERY_BLOCKED),
            sqlite_where=text(DELIVERY_BLOCKED),
        ),
        Index(
            "ix_delivery_ended",
            "ended_at",
            postgresql_where=text(DELIVERY_ENDED),
            sqlite_where=text(DELIVERY_ENDED),
        ),
        Index("ix_delivery_order", "detection_id", "endpoint_id", "event_position"),
        Index("ix_delivery_account", "account_id", "mode", "created_at", "id"),
        Index("ix_delivery_endpoint", "endpoint_id", "created_at", "id"),
    )

    id: str = Field(primary_key=True)
    account_id: str
    mode: str
    endpoint_id: str
    event_id: str
    event_position: int = Field(sa_type=BigInteger)
    detection_id: str | None = None
    lane: str  # fresh, retry
    state: str  # a `DeliveryState`
    due_at: datetime | None = Field(default=None, sa_type=UtcTime)
    lease_token: str | None = None
    attempts: int = 0
    attempts_before: int = 0
    created_at: datetime = Field(sa_type=UtcTime)
    ended_at: datetime | None = Field(default=None, sa_type=UtcTime)


PHASES = ("dns", "connect", "tls", "first_byte", "total")
"""The phases of an attempt, as `Attempt.phases_json` has them."""


class Attempt(SQLModel, table=True):
    """One HTTP try of a delivery."""

    __tablename__ = "attempt"
    __table_args__ = (
        UniqueConstraint("delivery_id", "n"),
        Index("ix_attempt_endpoint", "endpoint_id", "started_at"),
        Index("ix_attempt_started", "started_at"),
    )

    id: str = Field(primary_key=True)
    delivery_id: str
    endpoint_id: str
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


SEALED = (
    Sealed(EndpointSecret, "id", "sealed", SECRET_PURPOSE, lambda row: str(row.id)),
    Sealed(Endpoint, "id", "sealed_headers", HEADERS_PURPOSE, lambda row: str(row.id)),
    Sealed(SigningKey, "kid", "sealed_private", SIGNING_KEY_PURPOSE, lambda row: str(row.kid)),
)
