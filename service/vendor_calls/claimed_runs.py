"""Claiming runs that are due, with what talking to their vendors takes. A claim writes leases, never a state.

The order of a claim: due runs are found and locked, what is not wanted now is let go again, leases are written.
"""

import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, bindparam, select, text, update
from sqlmodel import Session

from service.billing.budgets import has_budget
from service.detectors.catalogue import Catalogue
from service.kit.clock import seconds
from service.kit.concurrency.shares import Shares
from service.runs.state.models import DETECTION, MEDIA, MEDIA_COLUMNS, RUN, RUN_COLUMNS
from service.runs.state.rows import MediaRow, RunRow

_BESIDE = (
    DETECTION.c.source_url, DETECTION.c.source_name, has_budget(RUN.c.account_id, RUN.c.mode).label("has_budget"),
)  # fmt: skip
_WITH_AUDIO = (
    select(*RUN_COLUMNS, *_BESIDE, *MEDIA_COLUMNS)
    .join(DETECTION, DETECTION.c.id == RUN.c.detection_id)
    .join(MEDIA, MEDIA.c.id == DETECTION.c.media_id)
    .with_for_update(of=RUN, skip_locked=True, key_share=True)
)
_QUEUE = (
    "due_at", "lease_token", "throttled_at", "waiting_for", "reason_text", "last_refusal", "polls", "confirmations",
    "polled_at",
)  # fmt: skip
_WRITE = update(RUN).where(RUN.c.id == bindparam("the_id")).values({name: bindparam(name) for name in _QUEUE})


@dataclass(frozen=True, slots=True)
class ClaimedRun:
    """A run that is ours for now, with what it needs, and when it was claimed.

    `has_budget`: its account had one in its mode then.
    """

    run: RunRow
    media: MediaRow
    source_url: str | None
    source_name: str
    has_budget: bool
    at: datetime

    @property
    def token(self) -> str:
        """The lease token."""
        return self.run.lease_token or ""


def due_statement(waiting: str) -> Select[Any]:
    """Return a statement for the runs that are due, in these `waiting` states, without some vendors'.

    `waiting` is literal SQL, equal to the predicate of a partial index: with a bound parameter PostgreSQL's generic
    plan cannot use that index.
    """
    return (
        _WITH_AUDIO.where(
            text(waiting),
            RUN.c.due_at <= bindparam("now"),
            RUN.c.vendor.not_in(bindparam("busy", expanding=True)),
        )
        .order_by(RUN.c.due_at)
        .limit(bindparam("most"))
    )


def queued_statement(waiting: str) -> Select[Any]:
    """Return a statement for the first runs of one gate's queue that have time left."""
    return (
        _WITH_AUDIO.where(
            text(waiting),
            RUN.c.mode == bindparam("mode"),
            RUN.c.vendor == bindparam("vendor"),
            RUN.c.deadline_at > bindparam("now"),
        )
        .order_by(RUN.c.throttled_at, RUN.c.id)
        .limit(bindparam("most"))
    )


def found(connection: Connection, statement: Select[Any], now: datetime, **parameters: Any) -> list[ClaimedRun]:
    """Return the runs that the statement finds, locked and not claimed yet."""
    claims = []
    for row in connection.execute(statement, {"now": now, **parameters}):
        values = tuple(row)
        first, last = len(RUN_COLUMNS), len(RUN_COLUMNS) + len(_BESIDE)
        source_url, source_name, with_budget = values[first:last]
        run, media = RunRow(*values[:first]), MediaRow(*values[last:])
        claims.append(ClaimedRun(run, media, source_url, source_name, with_budget, now))
    return claims


def find_due(
    session: Session, statement: Select[Any], now: datetime, limit: int, shares: Shares | None
) -> tuple[list[ClaimedRun], bool]:
    """Return at most `limit` due runs, no vendor's beyond its share of the places; and whether there may be more."""
    session.flush()
    connection = session.connection()
    if shares is None:
        claims = found(connection, statement, now, busy=[], most=limit)
        return claims, len(claims) == limit
    taken: dict[str, ClaimedRun] = {}
    while (room := limit - len(taken)) > 0:
        claims = found(connection, statement, now, busy=sorted(shares.refused), most=room + len(taken))
        fresh = [claim for claim in claims if claim.run.id not in taken]
        fitting = [claim for claim in fresh[:room] if shares.take(claim.run.vendor)]
        taken |= {claim.run.id: claim for claim in fitting}
        if len(fresh) < room or len(fitting) == len(fresh):
            return list(taken.values()), len(taken) == limit
    return list(taken.values()), True


def lease(claims: Sequence[ClaimedRun], catalogue: Catalogue, now: datetime, holder: str) -> list[ClaimedRun]:
    """Return the claims with leases: each as long as its own vendor may take, and no longer than the run has left."""
    token = holder + secrets.token_hex(8)
    return [replace(claim, run=_leased(claim.run, catalogue, now, token)) for claim in claims]


def _leased(run: RunRow, catalogue: Catalogue, now: datetime, token: str) -> RunRow:
    configured = catalogue.configured(run.mode, run.vendor)
    until = now + seconds(configured.policy.lease if configured is not None else catalogue.longest_lease())
    # Claimed at its deadline it is only to be ended, and that too takes a moment.
    return replace(run, due_at=min(until, run.deadline_at) if run.deadline_at > now else until, lease_token=token)


def write_claims(session: Session, runs: Collection[RunRow]) -> None:
    """Write the leases, and where the others stand in their gate's queue."""
    if runs:
        ordered = sorted(runs, key=lambda run: run.id)
        changes = [{"the_id": run.id, **{name: getattr(run, name) for name in _QUEUE}} for run in ordered]
        session.connection().execute(_WRITE, changes)
