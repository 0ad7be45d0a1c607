"""Tables of this room."""

from datetime import datetime

from sqlalchemy import Column, UniqueConstraint
from sqlmodel import Field, SQLModel

from service.kit.db.columns import Serial, UtcTime


class Account(SQLModel, table=True):
    """A customer."""

    __tablename__ = "account"

    id: str = Field(primary_key=True)
    name: str = Field(unique=True)
    created_at: datetime = Field(sa_type=UtcTime)


class ApiKey(SQLModel, table=True):
    """A key by which an account authenticates. The key itself is never stored, only its SHA-256."""

    __tablename__ = "api_key"

    id: str = Field(primary_key=True)
    account_id: str = Field(foreign_key="account.id", index=True)
    mode: str
    sha256: str = Field(unique=True)
    prefix: str
    last_four: str
    scopes: str  # words with spaces between
    label: str | None = None
    created_at: datetime = Field(sa_type=UtcTime)
    expires_at: datetime | None = Field(default=None, sa_type=UtcTime)
    revoked_at: datetime | None = Field(default=None, sa_type=UtcTime)
    last_used_at: datetime | None = Field(default=None, sa_type=UtcTime)


class Idempotency(SQLModel, table=True):
    """The first answer to a POST with an `Idempotency-Key`, written in the resource's own transaction."""

    __tablename__ = "idempotency"
    __table_args__ = (UniqueConstraint("account_id", "mode", "route", "key"),)

    id: int | None = Field(default=None, sa_column=Column(Serial, primary_key=True))
    account_id: str
    mode: str
    route: str
    key: str
    fingerprint: str
    status: int
    answer: bytes  # sealed: it may hold a secret
    expires_at: datetime = Field(sa_type=UtcTime, index=True)


class Audit(SQLModel, table=True):
    """The record of an action: its actor, its object, its time. It stays when its object is erased."""

    __tablename__ = "audit"

    id: int | None = Field(default=None, sa_column=Column(Serial, primary_key=True))
    account_id: str | None = Field(default=None, index=True)
    mode: str | None = None
    actor: str  # a key's id, "operator" or "relay"
    action: str  # e.g. "endpoint.created"
    subject: str
    at: datetime = Field(sa_type=UtcTime)
