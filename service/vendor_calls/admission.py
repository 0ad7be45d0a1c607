"""Which of the runs that are due may go to their vendors now, and where the others wait.

A gate is charged in the claim's transaction, so all workers together keep a vendor's limits. A run that may not go is
queued: first come, first served, each with a due time of its own, so that thousands never come due at once. A claim
takes from the head of the queue what the gate lets through; however long the queue is, it reads only those and what
is due.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import bindparam, func, or_, select, text
from sqlmodel import Session

from service.detectors.catalogue import Catalogue, ConfiguredVendor, Limits
from service.kit.clock import seconds
from service.kit.concurrency.shares import Shares
from service.kit.telemetry.metrics import Count
from service.quotas.circuit import Circuit
from service.quotas.gate_store import GateKey, lock_gates, read_gates
from service.quotas.gates import Purpose, Throttled, acquire, check_gate, step
from service.quotas.models import Gate
from service.runs.state.lifecycle import RunState
from service.runs.state.models import RUN, RUN_DISPATCHABLE, RUN_POLLABLE, RUN_THROTTLED, RUN_UNDER_WAY
from service.runs.state.rows import RunRow
from service.vendor_calls.claimed_runs import (
    ClaimedRun,
    due_statement,
    find_due,
    found,
    lease,
    queued_statement,
    write_claims,
)

HELD_BACK = Count(
    "relay_runs_held_back_total", "Runs that a gate did not let through.", "vendor", "mode", "waiting_for"
)

_UNPAID = "The vendor takes nothing more before it is paid; this run waits for that."
_SENTENCES = {
    "concurrency": "As many runs as the vendor takes at once are under way there; this one stands in line.",
    "rate_limited": "The vendor takes no more requests this minute; this one stands in line.",
    "quota_exceeded": "The vendor's quota is used up; this run waits for its reset.",
    "circuit_open": "The vendor does not answer as it should, and is left alone for a while.",
}
_DUE = due_statement(RUN_DISPATCHABLE.replace("state", "run.state"))
_DUE_POLLS = due_statement(RUN_POLLABLE.replace("state", "run.state").replace("due_at", "run.due_at"))
_QUEUED = queued_statement(
    RUN_THROTTLED.replace("state", "run.state")
    .replace("throttled_at", "run.throttled_at")
    .replace("lease_token", "run.lease_token")
)
_AT_VENDOR = (
    select(func.count())
    .select_from(RUN)
    .where(
        text(RUN_UNDER_WAY),
        RUN.c.mode == bindparam("mode"),
        RUN.c.vendor == bindparam("vendor"),
        or_(RUN.c.state == RunState.WAITING.value, RUN.c.due_at > bindparam("now")),
        RUN.c.id.not_in(bindparam("but", expanding=True)),
    )
)


@dataclass(frozen=True, slots=True)
class GateContext:
    """The gate by which a run leaves: one configured vendor, and its row, locked."""

    configured: ConfiguredVendor
    gate: Gate
    now: datetime

    @property
    def limits(self) -> Limits:
        """The vendor's limits."""
        return self.configured.policy.limits

    @property
    def key(self) -> dict[str, str]:
        """The gate's names, for statements."""
        return {"mode": self.gate.mode, "vendor": self.gate.vendor}

    def requests(self, run: RunRow) -> int:
        """Return how many requests the run's submission takes. A run that no adapter knows any more counts as one."""
        try:
            prepares = self.configured.adapter.capabilities(run.detector).prepares
        except Exception:  # noqa: BLE001 - its own call will say so; it must not keep the others from their vendor
            return 1
        return 2 if prepares and run.prepared_ref is None else 1


def claim_submissions(
    session: Session,
    catalogue: Catalogue,
    *,
    now: datetime,
    limit: int,
    holder: str = "",
    shares: Shares | None = None,
) -> tuple[list[ClaimedRun], bool]:
    """Return at most `limit` runs that may be submitted now, leased to us; and whether there may be more to claim."""
    due, more = find_due(session, _DUE, now, limit, shares)
    as_they_are = read_gates(session)
    admitted: list[ClaimedRun] = []
    waiting: dict[GateKey, list[ClaimedRun]] = defaultdict(list)
    for one in sorted(due, key=lambda one: one.run.id):
        key = (one.run.mode, one.run.vendor)
        gated = _leaves(one.run, now) and _is_gated(catalogue.configured(*key), as_they_are.get(key))
        (waiting[key] if gated else admitted).append(one)
    queued = {key for key, gate in as_they_are.items() if gate.queue_until is not None}
    vendors = {key: configured for key in queued | waiting.keys() if (configured := catalogue.configured(*key))}
    gates = lock_gates(session, vendors, as_they_are)
    changed: dict[str, RunRow] = {}
    for key in sorted(vendors):
        context = GateContext(vendors[key], gates[key], now)
        admitted += _admit(session, context, waiting[key], limit - len(admitted), changed)
    admitted = lease(admitted, catalogue, now, holder)
    changed |= {one.run.id: one.run for one in admitted}
    write_claims(session, changed.values())
    session.flush()
    return admitted, more


def _leaves(run: RunRow, now: datetime) -> bool:
    """Return True if a request would leave: not at its deadline, and not while a submission may still be out."""
    return now < run.deadline_at and (run.state == RunState.UNKNOWN.value or run.submit_started_at is None)


def _is_gated(configured: ConfiguredVendor | None, gate: Gate | None) -> bool:
    if configured is None:
        return False
    if configured.policy.limits.bounded:
        return True
    return gate is not None and (
        gate.circuit != Circuit.CLOSED
        or any(told is not None for told in (gate.closed_until, gate.quota_left, gate.queue_until))
    )


def _admit(
    session: Session, context: GateContext, due: Sequence[ClaimedRun], room: int, changed: dict[str, RunRow]
) -> list[ClaimedRun]:
    """Return those that may go, the first come first. The rest of `due` is queued."""
    under_way = _under_way(session, context, {one.run.id for one in due})
    stood = {one.run.id for one in due if one.run.throttled_at is not None}
    if context.gate.queue_until is None:
        gone, hold = _let_through(context, due[:room], under_way)
        _queue(context, [one.run for one in due[len(gone) :]], stood, hold, changed)
        return gone
    for one in due:
        run = one.run
        run.throttled_at, run.lease_token, run.due_at = run.throttled_at or context.now, None, context.now
    write_claims(session, [one.run for one in due])
    gone, hold = _from_the_queue(session, context, room, under_way)
    went = {one.run.id for one in gone}
    _queue(context, [one.run for one in due if one.run.id not in went], stood, hold, changed)
    return gone


def _under_way(session: Session, context: GateContext, but: Collection[str]) -> int:
    """Return how many runs are at the vendor, or on their way: counted, never kept as a number that could leak."""
    if context.limits.concurrency is None:
        return 0
    asked = {**context.key, "now": context.now, "but": sorted(but)}
    return int(session.connection().execute(_AT_VENDOR, asked).scalar_one())


def _let_through(
    context: GateContext, claims: Sequence[ClaimedRun], under_way: int
) -> tuple[list[ClaimedRun], Throttled | None]:
    """Return the runs before the first that may not go, and why that one may not. The gate is charged for each."""
    gone: list[ClaimedRun] = []
    for one in claims:
        requests = context.requests(one.run)
        if (hold := _check(context, requests, under_way + len(gone))) is not None:
            return gone, hold
        acquire(context.gate, context.limits, context.now, requests=requests, purpose=Purpose.SUBMIT)
        gone.append(replace(one, run=replace(one.run, throttled_at=None)))
    return gone, None


def _check(context: GateContext, requests: int, under_way: int) -> Throttled | None:
    return check_gate(context.gate, context.limits, Purpose.SUBMIT, context.now, requests=requests, under_way=under_way)


def _from_the_queue(
    session: Session, context: GateContext, room: int, under_way: int
) -> tuple[list[ClaimedRun], Throttled | None]:
    """Return the first that are queued, as many as may go. Where none may, none is read; an empty queue is none."""
    if (hold := _check(context, 1, under_way)) is not None or room <= 0:
        return [], hold
    # A run that is being changed this moment, by a cancellation for example, is passed over.
    first = found(session.connection(), _QUEUED, context.now, **context.key, most=room)
    if not first:
        context.gate.queue_until = None
    return _let_through(context, first, under_way)


def _queue(
    context: GateContext,
    runs: Sequence[RunRow],
    stood: Collection[str],
    hold: Throttled | None,
    changed: dict[str, RunRow],
) -> None:
    """Queue the runs, unclaimed, each due when it can hope to go, at the latest at its deadline.

    A newcomer's time is a step after the last one's. One that `stood` there already is near the head.
    """
    if not runs:
        return
    now, gap = context.now, seconds(step(context.gate, context.limits, context.now, context.requests(runs[0])))
    near = hold.until if hold is not None else now
    tail = max(context.gate.queue_until or near, near)
    for run in runs:
        run.throttled_at, run.lease_token = run.throttled_at or now, None
        if run.id in stood:
            run.due_at, near = min(near, run.deadline_at), near + gap
        else:
            run.due_at, tail = min(tail, run.deadline_at), tail + gap
        if hold is not None:
            mark_throttled(run, hold)
        changed[run.id] = run
    context.gate.queue_until = max(tail, near)


def mark_throttled(run: RunRow, hold: Throttled) -> None:
    """Say what the run waits for, and what it will have failed for if that does not end before its deadline."""
    word = hold.waiting_for
    HELD_BACK.add(run.vendor, run.mode, word.value)
    if run.state == RunState.UNKNOWN.value:
        return  # that the outcome of its submission is unknown is the greater news
    run.waiting_for, run.reason_text = word.value, _UNPAID if hold.unpaid else _SENTENCES[word.value]
    if run.state == RunState.QUEUED.value:
        run.last_refusal = word.reason.value


@dataclass(frozen=True, slots=True)
class ClaimedPoll:
    """A run to be polled. `confirms`: a callback claimed an end.

    `asks` is false where its vendor's gate lets nothing through and its deadline has come: it is only to be ended.
    """

    claim: ClaimedRun
    confirms: bool
    asks: bool = True

    @property
    def run(self) -> RunRow:
        """The run."""
        return self.claim.run


def claim_polls(
    session: Session,
    catalogue: Catalogue,
    *,
    now: datetime,
    limit: int,
    holder: str = "",
    shares: Shares | None = None,
) -> tuple[list[ClaimedPoll], bool]:
    """Return at most `limit` runs that may be polled now, leased to us; and whether more are due.

    The others are due again when they can hope to be, or at their deadline.
    """
    due, more = find_due(session, _DUE_POLLS, now, limit, shares)
    leased = lease(sorted(due, key=lambda one: one.run.id), catalogue, now, holder)
    as_they_are = read_gates(session) if leased else {}
    admitted: list[tuple[ClaimedRun, bool]] = []
    gated: dict[GateKey, list[ClaimedRun]] = defaultdict(list)
    for one in leased:
        key = (one.run.mode, one.run.vendor)
        if _is_gated(catalogue.configured(*key), as_they_are.get(key)):
            gated[key].append(one)
        else:
            admitted.append((one, True))
    vendors = {key: configured for key in gated if (configured := catalogue.configured(*key))}
    gates = lock_gates(session, vendors, as_they_are)
    for key in sorted(vendors):
        admitted += _admit_polls(gates[key], vendors[key].policy.limits, gated[key], now)
    claimed = [_counted(one, asks, now) for one, asks in admitted]
    write_claims(session, [one.run for one in leased])
    session.flush()
    return claimed, more


def _counted(claim: ClaimedRun, asks: bool, now: datetime) -> ClaimedPoll:  # noqa: FBT001 - what admission says of it
    """Record that the vendor is asked, before it is."""
    run = claim.run
    wanted = run.confirmation_requested_at
    confirms = wanted is not None and (run.polled_at is None or wanted > run.polled_at)
    if asks:
        run.polled_at = now
        run.confirmations += confirms
        run.polls += not confirms
    return ClaimedPoll(claim, confirms, asks)


def _admit_polls(
    gate: Gate, limits: Limits, claims: Sequence[ClaimedRun], now: datetime
) -> list[tuple[ClaimedRun, bool]]:
    admitted: list[tuple[ClaimedRun, bool]] = []
    later = timedelta(0)
    for one in claims:
        run = one.run
        hold = check_gate(gate, limits, Purpose.POLL, now)
        if hold is None:
            acquire(gate, limits, now)
            admitted.append((one, True))
            continue
        mark_throttled(run, hold)
        if run.state == RunState.WAITING.value and run.deadline_at <= now:
            admitted.append((one, False))
            continue
        again = hold.until + later
        run.due_at = min(again, run.deadline_at) if run.state == RunState.WAITING.value else again
        run.lease_token = None
        later += seconds(step(gate, limits, now))
    return admitted
