"""What all operations need, opened once at start."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import cast

from sqlmodel import Session
from starlette.requests import Request

from service.api.limits import OpenResponses, RequestLimits
from service.api.operating.waits import Gauges
from service.api.operating.writable import Writable
from service.callbacks.addresses import KnownAddresses
from service.callbacks.intake import Arrived
from service.callbacks.quarantine import Strangers
from service.kit.clock import Clock
from service.kit.concurrency.wake import Shutdown
from service.kit.db.database import Database
from service.kit.db.group_commit import GroupCommit
from service.kit.http.guard import GuardPolicy
from service.kit.security.sealing import Sealer
from service.kit.security.tokens import Tokens
from service.media.ingest import MAX_BYTES
from service.media.links import MediaGrant, MediaLinks
from service.media.room import Rooms
from service.media.store import Store
from service.runs.policy import DetectionPolicy

OpenLink = Callable[[Session, str, str, datetime, bool], MediaGrant | None]
"""`(session, run_id, mode, now, counts)`: what the run's link opens now, or `None`; `counts` uses up one fetch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The process's open things and its few limits."""

    database: Database
    clock: Clock
    store: Store
    tokens: Tokens
    media_links: MediaLinks
    open_link: OpenLink
    sealer: Sealer
    guard: GuardPolicy
    policy: DetectionPolicy
    intake: GroupCommit[Arrived, bool]
    shutdown: Shutdown
    heartbeat_seconds: float = 15.0  # a stream is never silent for longer
    max_media_bytes: int = MAX_BYTES
    addresses: KnownAddresses = field(default_factory=KnownAddresses)
    strangers: Strangers = field(default_factory=Strangers)
    limits: RequestLimits = field(default_factory=RequestLimits)
    open_responses: OpenResponses = field(default_factory=OpenResponses)
    rooms: Rooms = field(default_factory=Rooms)
    trusted_proxy_hops: int = 0
    metrics_token: str | None = field(default=None, repr=False)
    gauges: Gauges = field(default_factory=Gauges)
    sandbox_base: str = ""  # where a test run reaches the twins; examples in the API's document work there
    writable: Writable = field(default_factory=Writable)
    staging: Path | None = None  # a folder for uploads under way; the system's own by default


def context_of(request: Request) -> Context:
    """Return the context that was stored at start."""
    return cast("Context", request.app.state.context)
