"""Thinking about callbacks that are safely stored: whose they are, and what they make due.

A callback is a hint. Under `confirm` it supplies no verdict: it only makes its run due for one fetch, at most one
in flight and ten seconds apart. Under `payload`, the operator's choice, an authentic one decides.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog
from sqlalchemy import update
from sqlmodel import Session, col, or_

from service.callbacks.erase import erase_callback
from service.callbacks.intake import TOPIC
from service.callbacks.match import Match, match, meeting, merged, names_of, raw_of
from service.callbacks.models import CALLBACK_WAITING, Callback
from service.detections.certificates import certificate_named
from service.detections.certify import note_announced
from service.detections.lock import lock_run
from service.detections.observe import Sighting, observe, write_observation
from service.detections.record import adopt_job, job_id_taken
from service.detections.revise import may_still_answer
from service.detectors.catalogue import Line
from service.detectors.offers import Announced
from service.detectors.port import Accepted
from service.detectors.reading import Reading
from service.detectors.words import Authenticity, Via
from service.kit.claims import claim
from service.kit.clock import Clock
from service.kit.columns import table_of
from service.kit.database import Database, serialise, wakes
from service.kit.failing import Failing
from service.kit.faults import fault_of
from service.runs.filename_match import as_asked
from service.runs.lifecycle import RunState
from service.runs.models import Detection, Run
from service.runs.policy import TOPIC_POLLS, DetectionPolicy

log = structlog.get_logger()

_LEASE = timedelta(seconds=30)
_BATCH = 50
_MAX_TRIES = 5


@dataclass(frozen=True, slots=True)
class CallbackProcessor:
    """The callbacks this process thinks about. `step` is called when woken."""

    database: Database
    policy: DetectionPolicy
    clock: Clock
    _failing: Failing = field(default_factory=lambda: Failing("callback.waits", traceback=False))

    async def step(self) -> bool:
        """Up to a batch of stored callbacks have had their effect. True if there may be more."""
        now = self.clock()
        claimed = await self.database.write(claim_callbacks, now=now, lease_until=now + _LEASE, limit=_BATCH)
        for callback_id, token in claimed:
            try:
                state = await self.database.write(process, callback_id, token, self.policy, self.clock())
            except Exception as error:  # a poison row harms nobody else: its lease is its back-off, five tries its end
                if fault_of(error) is None:
                    log.exception("callback.crashed", callback_id=callback_id)
                else:
                    self._failing.failed(error)  # not the row's fault
            else:
                self._failing.well()
                log.info("callback.processed", callback_id=callback_id, state=state)
        return len(claimed) == _BATCH

    async def expire(self) -> bool:
        """What was parked too long is put aside. Called once a minute; never True: it is all of it."""
        await self.database.write(expire_parked, self.policy, self.clock())
        return False


def claim_callbacks(session: Session, *, now: datetime, lease_until: datetime, limit: int) -> list[tuple[str, str]]:
    """At most `limit` stored callbacks, leased to us; those that failed five times are put aside as `stuck`."""
    table = table_of(Callback)
    rows = claim(session, table, CALLBACK_WAITING, "tries", now=now, lease_until=lease_until, limit=limit)
    claimed = []
    for row in rows:
        stuck = row["tries"] >= _MAX_TRIES
        change = {"state": "stuck", "due_at": None} if stuck else {"tries": row["tries"] + 1}
        session.connection().execute(update(table).where(table.c.id == row["id"]).values(change))
        if not stuck:
            claimed.append((row["id"], row["lease_token"]))
    return claimed


def expire_parked(session: Session, policy: DetectionPolicy, now: datetime) -> None:
    """What was parked longer than any run can wait is put aside: no run of ours will ever know its job."""
    oldest = now - timedelta(seconds=policy.catalogue.longest_deadline())
    session.connection().execute(
        update(table_of(Callback))
        .where(col(Callback.vendor).in_(policy.catalogue.vendors()), col(Callback.state) == "parked")
        .where(col(Callback.received_at) <= oldest)
        .values(state="ignored", note="no run knew its job in time")
    )


def process(session: Session, callback_id: str, token: str, policy: DetectionPolicy, now: datetime) -> str:
    """The callback has had its effect; the state it is in now, or that it was `merged` with one that said the same."""
    callback = session.get(Callback, callback_id)
    if callback is None or callback.lease_token != token:  # `None`: another process merged it meanwhile
        return "lease_lost"
    line = policy.catalogue.line(callback.mode, callback.vendor)
    found = match(session, callback, line)
    if found.run is None:
        found = _meet(session, callback, line)
    state = _apply(session, callback, found, line, policy, now)
    if state != "merged":
        if state == "parked":
            callback.note = "parked until its run knew the job"  # stays with it when it is matched
        callback.state = state
        callback.due_at = None
        callback.lease_token = None
    return state


def _meet(session: Session, callback: Callback, line: Line | None) -> Match:
    """Whose it is, after all: its run may be learning the job id just now, and one of the two sees the other.

    The key is kept by one that is to be parked. Whoever found the run lets it go again: the detection comes first.
    """
    savepoint = session.begin_nested()
    serialise(session, meeting(callback.mode, callback.vendor, callback.subject))
    found = match(session, callback, line)
    if found.run is None:
        savepoint.commit()
    else:
        savepoint.rollback()
    return found


def match_parked(session: Session, run: Run) -> None:
    """Callbacks that came before the run knew its job, or whose run was between two steps, are due now."""
    subjects = names_of(session, run)
    for subject in sorted(set(subjects) - {run.id, run.submitted_as_run_id}):
        serialise(session, meeting(run.mode, run.vendor, subject))
    found = session.connection().execute(
        update(table_of(Callback))
        .where(col(Callback.mode) == run.mode, col(Callback.vendor) == run.vendor)
        .where(or_(col(Callback.subject).in_(subjects), col(Callback.run_id) == run.id))
        .where(col(Callback.state) == "parked")
        .values(state="due", due_at=col(Callback.received_at), run_id=run.id)
    )
    if found.rowcount:
        wakes(session, TOPIC)


def _apply(
    session: Session, callback: Callback, found: Match, line: Line | None, policy: DetectionPolicy, now: datetime
) -> str:
    callback.expires_at = callback.received_at + timedelta(seconds=policy.catalogue.longest_deadline())
    if found.run is None or line is None:
        return "parked"
    detection, run = lock_run(session, found.run.id)
    callback.run_id = run.id
    if (settled := _settle(session, callback, detection, run)) is not None:
        return settled
    counts = not RunState(run.state).ended or may_still_answer(detection, run)
    if counts and run.vendor_job_id is None and (misfit := _adopt(session, callback, run, line, policy, now)):
        return misfit
    if callback.job_id is not None and run.vendor_job_id is not None and callback.job_id != run.vendor_job_id:
        callback.note = "names another job than the run's"
        return "conflict"
    if found.ready is not None:
        return _hear_certificate(session, callback, run, found.ready, now)
    trusted = line.policy.trust == "payload" and not found.by_name
    return _take(session, callback, run, line, policy, now, counts=counts, trusted=trusted)


def _settle(session: Session, callback: Callback, detection: Detection, run: Run) -> str | None:
    """The state of one that has nothing more to say: its detection was erased, or the same was said before."""
    if detection.erased_at is not None:
        erase_callback(callback)
        return "late"
    return "merged" if merged(session, callback, run) else None


def _hear_certificate(session: Session, callback: Callback, run: Run, ready: Announced, now: datetime) -> str:
    """One that is known is told of already; for another the vendor is asked first."""
    known = certificate_named(session, run.mode, run.vendor, ready.certificate.certificate_id)
    if known is not None or note_announced(session, run, ready, now):
        return "applied"
    callback.note = "speaks of a certificate that the run cannot have"
    return "late"


def _adopt(
    session: Session, callback: Callback, run: Run, line: Line, policy: DetectionPolicy, now: datetime
) -> str | None:
    """A run whose submission was lost sight of knows its job now; else the state the callback is in."""
    timed_out = run.state == RunState.TIMED_OUT.value
    if callback.job_id is None or not (timed_out or run.state == RunState.UNKNOWN.value):
        # A submission under way: matched when that is recorded. After the end there is nothing to ask for.
        return None if timed_out else "parked"
    if job_id_taken(session, run, callback.job_id):
        callback.note = "names a job that another run has"
        return "conflict"
    if timed_out:
        run.vendor_job_id = callback.job_id
    else:
        adopt_job(session, run, Accepted(callback.job_id), line.policy, policy, now)
    return None


def _take(
    session: Session,
    callback: Callback,
    run: Run,
    line: Line,
    policy: DetectionPolicy,
    now: datetime,
    *,
    counts: bool,
    trusted: bool,
) -> str:
    raw = raw_of(callback)
    said = as_asked(run, line.adapter.read(raw, run.detector), line.adapter.detectors)
    sighting = Sighting(Via.CALLBACK, raw, said, Authenticity(callback.authenticity), callback.id)
    ends = isinstance(said, Reading) and said.claims_an_end
    confirmable = run.vendor_job_id is not None or trusted
    if not counts or (RunState(run.state).ended and not (ends and confirmable)):
        write_observation(session, run.id, sighting, effect="late")
        return "late"
    if trusted:
        observe(session, run.id, sighting, policy, now)
        return "applied"
    due_at = None
    if ends:
        run.callback_authenticity = callback.authenticity
        due_at = _want_confirmation(run, line, now)
        wakes(session, TOPIC_POLLS)
    write_observation(session, run.id, sighting, effect="confirm" if ends else "none", next_at=due_at)
    return "applied"


def _want_confirmation(run: Run, line: Line, now: datetime) -> datetime | None:
    """The run is due for one fetch, and when; if one is in flight, its recording sees the wish and plans the next."""
    run.confirmation_requested_at = now
    in_flight = run.lease_token is not None and run.due_at is not None and run.due_at > now
    if run.state in (RunState.WAITING.value, RunState.TIMED_OUT.value) and not in_flight:
        earliest = run.polled_at + timedelta(seconds=line.policy.confirm_spacing) if run.polled_at else now
        wanted = max(now, earliest)
        if run.state == RunState.WAITING.value:  # a poll that is planned sooner serves as well
            wanted = min(wanted, run.deadline_at, run.due_at or wanted)
        run.due_at = wanted
        return wanted
    return None
