"""Stored callbacks: the table, the row that is ours for now, and who in this process may be given one just stored."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Protocol

from sqlalchemy import Index, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from service.detectors.port import Raw
from service.kit.db.columns import UtcTime, table_of

CALLBACK_WAITING = "state = 'due'"
CALLBACK_SET_ASIDE = "state IN ('quarantined', 'ignored')"
CALLBACK_SETTLED = "state IN ('applied', 'late', 'conflict', 'stuck')"


class Callback(SQLModel, table=True):
    """One callback as it came. `subject` is the run, or the vendor's job or certificate, that it speaks of.

    Its states are a table: `callbacks/states`.
    """

    __tablename__ = "callback"
    __table_args__ = (
        # Two callbacks of one second share AIPPIM's signature, not their body.
        UniqueConstraint("mode", "vendor", "subject", "body_sha256"),
        Index(
            "ix_callback_due", "due_at", postgresql_where=text(CALLBACK_WAITING), sqlite_where=text(CALLBACK_WAITING)
        ),
        Index("ix_callback_state", "vendor", "state", "received_at"),
        Index(
            "ix_callback_set_aside",
            "received_at",
            postgresql_where=text(CALLBACK_SET_ASIDE),
            sqlite_where=text(CALLBACK_SET_ASIDE),
        ),
        Index(
            "ix_callback_settled",
            "received_at",
            postgresql_where=text(CALLBACK_SETTLED),
            sqlite_where=text(CALLBACK_SETTLED),
        ),
    )

    id: str = Field(primary_key=True)
    mode: str
    vendor: str
    subject: str
    job_id: str | None = None
    body_sha256: str
    body: bytes
    headers_json: str
    authenticity: str
    state: str
    note: str | None = None
    run_id: str | None = Field(default=None, index=True)
    received_at: datetime = Field(sa_type=UtcTime)
    times_received: int = 1
    overflow_count: int = 0  # further bodies for this subject, beyond what is kept
    tries: int = 0
    due_at: datetime | None = Field(default=None, sa_type=UtcTime)
    lease_token: str | None = None
    expires_at: datetime | None = Field(default=None, sa_type=UtcTime)


class CallbackAddress(SQLModel, table=True):
    """The stored random secret in an account-level callback address. It rotates on its own."""

    __tablename__ = "callback_address"

    id: str = Field(primary_key=True)
    mode: str
    vendor: str
    token_sha256: str = Field(unique=True)
    sealed_token: bytes
    created_at: datetime = Field(sa_type=UtcTime)
    valid_until: datetime | None = Field(default=None, sa_type=UtcTime)


@dataclass(frozen=True, slots=True)
class ClaimedCallback:
    """A stored callback that is ours for now."""

    id: str
    mode: str
    vendor: str
    subject: str
    job_id: str | None
    run_id: str | None
    body: bytes
    body_sha256: str
    headers_json: str
    authenticity: str
    received_at: datetime
    times_received: int
    overflow_count: int
    tries: int
    note: str | None
    lease_token: str | None

    @property
    def raw(self) -> Raw:
        """The callback as adapters read it."""
        return Raw(200, json.loads(self.headers_json), self.body, self.received_at)


_CALLBACK = table_of(Callback)
CALLBACK_COLUMNS = tuple(_CALLBACK.c[field.name] for field in fields(ClaimedCallback))


class CallbackHandOff(Protocol):
    """A processor in this process, which takes fresh callbacks already leased instead of finding them."""

    def reserve(self, count: int) -> tuple[str, datetime] | None:
        """Return a lease for `count` callbacks: its token and its end. `None` if there is no room for them."""

    def take(self, claimed: Sequence[ClaimedCallback]) -> None:
        """Think about these, which are committed. May be called from any thread."""
