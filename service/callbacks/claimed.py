"""A stored callback that is ours for now; and who in this process may be given one that was just stored."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Protocol

from service.callbacks.models import Callback
from service.detectors.port import Raw
from service.kit.db.columns import table_of


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
