"""Which of the runs that are due may go to their vendors now, and where the others wait.

A gate is charged in the claim's transaction, so all workers together keep a vendor's limits. Who may not go stands in
line: first come, first served, each with a due time of its own, so that thousands never come due at once. A look takes
from the head of the line what the gate lets through; however long the line is, it touches only those and what is due.
"""

import secrets
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlmodel import Session, col, func, or_, select

from service.detections.hold import Held, claim_with_media, with_media
from service.detectors.catalogue import Catalogue, Limits, Line
from service.kit.clock import seconds
from service.kit.metrics import Count
from service.runs.lifecycle import RunState
from service.runs.models import RUN_DISPATCHABLE, RUN_IN_LINE, RUN_UNDER_WAY, Run
from service.spending.circuit import Circuit
from service.spending.gates import Hold, Purpose, charge, held, step
from service.spending.lock import GateKey, gates_as_they_are, lock_gates
from service.spending.models import Gate

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


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run is to be let through: one vendor's line of the catalogue, and its gate, locked."""

    line: Line
    gate: Gate
    now: datetime
    lease_until: datetime

    @property
    def limits(self) -> Limits:
        """The vendor's limits."""
        return self.line.policy.limits

    def requests(self, run: Run) -> int:
        """How many requests the run's submission takes."""
        prepares = run.prepared_ref is None and self.line.adapter.capabilities(run.detector).prepares
        return 2 if prepares else 1


def claim_admitted(
    session: Session, catalogue: Catalogue, *, now: datetime, lease_until: datetime, limit: int
) -> tuple[list[Held], bool]:
    """At most `limit` runs that may be submitted now, leased to us; and whether there may be more to claim."""
    found = claim_with_media(session, RUN_DISPATCHABLE, now=now, lease_until=lease_until, limit=limit)
    as_they_are = gates_as_they_are(session)
    admitted: list[Held] = []
    waiting: dict[GateKey, list[Held]] = defaultdict(list)
    for one in sorted(found, key=lambda one: one[0].id):
        key = (one[0].mode, one[0].vendor)
        gated = _leaves(one[0], now) and _is_gated(catalogue.line(*key), as_they_are.get(key))
        (waiting[key] if gated else admitted).append(one)
    with_line = {key for key, gate in as_they_are.items() if gate.queue_until is not None}
    lines = {key: line for key in with_line | waiting.keys() if (line := catalogue.line(*key))}
    gates = lock_gates(session, lines)
    for key in sorted(lines):
        place = Place(lines[key], gates[key], now, lease_until)
        admitted += _admit(session, place, waiting[key], limit - len(admitted))
    return admitted, len(found) == limit


def _leaves(run: Run, now: datetime) -> bool:
    """Whether a request would leave for it: not at its deadline, and not while a submission may still be out."""
    return now < run.deadline_at and (run.state == RunState.UNKNOWN.value or run.submit_started_at is None)


def _is_gated(line: Line | None, gate: Gate | None) -> bool:
    if line is None:
        return False
    if line.policy.limits.bounded:
        return True
    return gate is not None and (
        gate.circuit != Circuit.CLOSED
        or any(told is not None for told in (gate.closed_until, gate.quota_left, gate.queue_until))
    )


def _admit(session: Session, place: Place, due: Sequence[Held], room: int) -> list[Held]:
    """Those who may go, the first come first. The rest of `due` stands in line."""
    under_way = _under_way(session, place, {run.id for run, *_ in due})
    stood = {run.id for run, *_ in due if run.throttled_at is not None}
    if place.gate.queue_until is None:
        gone, hold = _let_through(place, [run for run, *_ in due[:room]], under_way)
        _line_up(place, [run for run, *_ in due[len(gone) :]], stood, hold)
        return list(due[: len(gone)])
    for run, *_ in due:
        run.throttled_at, run.lease_token, run.due_at = run.throttled_at or place.now, None, place.now
    gone, hold = _from_the_line(session, place, room, under_way)
    went = {run.id for run in gone}
    _line_up(place, [run for run, *_ in due if run.id not in went], stood, hold)
    for run in gone:
        run.lease_token, run.due_at = secrets.token_hex(8), place.lease_until
    session.flush()
    return with_media(session, {run.id: run.lease_token or "" for run in gone})


def _under_way(session: Session, place: Place, but: set[str]) -> int:
    """How many runs are at the vendor, or on their way: counted, never kept as a number that could leak."""
    if place.limits.concurrency is None:
        return 0
    alive = or_(col(Run.state) == RunState.WAITING.value, col(Run.due_at) > place.now)
    ours = (Run.mode == place.gate.mode, Run.vendor == place.gate.vendor)
    wanted = select(func.count()).select_from(Run).where(text(RUN_UNDER_WAY), *ours, alive)
    return session.exec(wanted.where(col(Run.id).not_in(but)) if but else wanted).one()


def _let_through(place: Place, runs: Sequence[Run], under_way: int) -> tuple[list[Run], Hold | None]:
    """The runs before the first that may not go, and why that one may not. The gate is charged for each that may."""
    gone: list[Run] = []
    for run in runs:
        requests = place.requests(run)
        if (hold := _held(place, requests, under_way + len(gone))) is not None:
            return gone, hold
        charge(place.gate, place.limits, place.now, requests=requests, purpose=Purpose.SUBMIT)
        run.throttled_at = None
        gone.append(run)
    return gone, None


def _held(place: Place, requests: int, under_way: int) -> Hold | None:
    return held(place.gate, place.limits, Purpose.SUBMIT, place.now, requests=requests, under_way=under_way)


def _from_the_line(session: Session, place: Place, room: int, under_way: int) -> tuple[list[Run], Hold | None]:
    """The first in line, as many as may go. Where none may, none is looked at; an empty line is no line any more."""
    if (hold := _held(place, 1, under_way)) is not None or room <= 0:
        return [], hold
    session.flush()
    ours = (Run.mode == place.gate.mode, Run.vendor == place.gate.vendor, Run.deadline_at > place.now)
    first = select(Run).where(text(RUN_IN_LINE), *ours).order_by(col(Run.throttled_at), col(Run.id)).limit(room)
    # Whoever is being changed this moment, by a cancellation for example, is passed over.
    locked = first.with_for_update(skip_locked=True).execution_options(populate_existing=True)
    found = session.exec(locked).all()
    if not found:
        place.gate.queue_until = None
    return _let_through(place, found, under_way)


def _line_up(place: Place, runs: Sequence[Run], stood: Collection[str], hold: Hold | None) -> None:
    """The runs stand in line, unclaimed, each due when it can hope to go, at the latest at its deadline.

    A newcomer's time is a step after the last one's. Who `stood` there already is near the head.
    """
    if not runs:
        return
    now, gap = place.now, seconds(step(place.gate, place.limits, place.now, place.requests(runs[0])))
    near = hold.until if hold is not None else now
    tail = max(place.gate.queue_until or near, near)
    for run in runs:
        run.throttled_at, run.lease_token = run.throttled_at or now, None
        if run.id in stood:
            run.due_at, near = min(near, run.deadline_at), near + gap
        else:
            run.due_at, tail = min(tail, run.deadline_at), tail + gap
        if hold is not None:
            hold_back(run, hold)
    place.gate.queue_until = max(tail, near)


def hold_back(run: Run, hold: Hold) -> None:
    """The run says what it waits for, and what it will have failed for if that does not end before its deadline."""
    word = hold.waiting_for
    HELD_BACK.add(run.vendor, run.mode, word.value)
    if run.state == RunState.UNKNOWN.value:
        return  # that nobody knows what became of its submission is the greater news
    run.waiting_for, run.reason_text = word.value, _UNPAID if hold.unpaid else _SENTENCES[word.value]
    if run.state == RunState.QUEUED.value:
        run.last_refusal = word.reason.value


def admit_polls(
    session: Session, found: Sequence[Held], catalogue: Catalogue, now: datetime
) -> list[tuple[Held, bool]]:
    """Those that may be asked for now. The others are due again when they can hope to be, or at their deadline.

    With `False`: not to be asked for, but to be ended; its deadline has come.
    """
    as_they_are = gates_as_they_are(session)
    admitted: list[tuple[Held, bool]] = []
    gated: dict[GateKey, list[Held]] = defaultdict(list)
    for one in sorted(found, key=lambda one: one[0].id):
        key = (one[0].mode, one[0].vendor)
        if _is_gated(catalogue.line(*key), as_they_are.get(key)):
            gated[key].append(one)
        else:
            admitted.append((one, True))
    lines = {key: line for key in gated if (line := catalogue.line(*key))}
    gates = lock_gates(session, lines)
    for key in sorted(lines):
        admitted += _admit_polls(gates[key], lines[key].policy.limits, gated[key], now)
    return admitted


def _admit_polls(gate: Gate, limits: Limits, found: Sequence[Held], now: datetime) -> list[tuple[Held, bool]]:
    admitted: list[tuple[Held, bool]] = []
    later = timedelta(0)
    for one in found:
        run = one[0]
        hold = held(gate, limits, Purpose.POLL, now)
        if hold is None:
            charge(gate, limits, now)
            admitted.append((one, True))
            continue
        hold_back(run, hold)
        if run.state == RunState.WAITING.value and run.deadline_at <= now:
            admitted.append((one, False))
            continue
        again = hold.until + later
        run.due_at = min(again, run.deadline_at) if run.state == RunState.WAITING.value else again
        run.lease_token = None
        later += seconds(step(gate, limits, now))
    return admitted
