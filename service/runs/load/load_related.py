"""What deciding needs beside the locked rows: answers that can be shared, jobs that are taken, money, what was seen."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, bindparam, func, select, text
from sqlmodel import Session

from service.billing.budgets import usage_of
from service.billing.prices import BudgetUsage
from service.detectors.latency import Latency
from service.runs import inputs
from service.runs.dedup_key import dedup_key, shares
from service.runs.inputs import CallbackReceived, Input, LeaderEnded, VendorAccepted
from service.runs.load.snapshot import DedupKey, Facts, Origin, Snapshot
from service.runs.policy import DetectionPolicy
from service.runs.state.lifecycle import CertificateState, RunState
from service.runs.state.models import (
    CERTIFICATE,
    LEDGER,
    LEDGER_COLUMNS,
    OBSERVATION,
    OBSERVATION_COLUMNS,
    RUN,
    RUN_ANSWERED,
    RUN_COLUMNS,
)
from service.runs.state.rows import DetectionRow, LedgerRow, MediaRow, ObservationRow, RunRow
from service.verdicts.votes import Rule

_IDS: Any = bindparam("ids", expanding=True)
_OBSERVATIONS = (
    select(*OBSERVATION_COLUMNS).where(OBSERVATION.c.run_id.in_(_IDS)).order_by(OBSERVATION.c.run_id, OBSERVATION.c.n)
)
_CHARGES = select(*LEDGER_COLUMNS).where(LEDGER.c.run_id.in_(_IDS)).order_by(LEDGER.c.id)
_DECIDING = and_(OBSERVATION.c.run_id == RUN.c.id, OBSERVATION.c.n == RUN.c.observation_n)
_ORIGINS = (
    select(*RUN_COLUMNS, *OBSERVATION_COLUMNS).join(OBSERVATION, _DECIDING, isouter=True).where(RUN.c.id.in_(_IDS))
)
_SAME = (
    RUN.c.account_id.in_(bindparam("accounts", expanding=True)),
    RUN.c.mode.in_(bindparam("modes", expanding=True)),
)
_KEYS: Any = bindparam("keys", expanding=True)
_OWN_ANSWER = RUN_ANSWERED.replace("state", "run.state").replace("via", "run.via")
# The predicate of the index stands literally: with a bound state PostgreSQL's generic plan cannot use it.
_ANSWERS = (
    select(*RUN_COLUMNS, *OBSERVATION_COLUMNS)
    .join(OBSERVATION, _DECIDING)
    .where(*_SAME, RUN.c.dedup_key.in_(_KEYS), text(_OWN_ANSWER))
    .where(RUN.c.ended_at > bindparam("since"))
    .order_by(RUN.c.ended_at)
)
_LEADERS = select(RUN.c.account_id, RUN.c.mode, RUN.c.leader_key, RUN.c.id).where(*_SAME, RUN.c.leader_key.in_(_KEYS))
_JOBS = select(RUN.c.vendor_job_id, RUN.c.id).where(
    RUN.c.mode == bindparam("mode"),
    RUN.c.vendor == bindparam("vendor"),
    RUN.c.vendor_job_id.in_(bindparam("jobs", expanding=True)),
)
_ANNOUNCED = (
    select(CERTIFICATE.c.run_id, func.count())
    .where(CERTIFICATE.c.run_id.in_(_IDS), CERTIFICATE.c.state == CertificateState.ANNOUNCED.value)
    .group_by(CERTIFICATE.c.run_id)
)

_JOINS = (inputs.SourceReady, inputs.Asked, inputs.AskedAgain, LeaderEnded)
_PAYS = (inputs.Leaving, inputs.OverBudget)


def load_related(
    session: Session,
    snapshot: Snapshot,
    happened: Sequence[Input],
    policy: DetectionPolicy,
    now: datetime,
    *,
    with_budget: Collection[tuple[str, str]],
) -> Snapshot:
    """Return the snapshot with all that these inputs may ask for, but what was seen of their runs.

    `with_budget`: the accounts and modes that have budgets; only theirs are locked and added up.
    """
    connection = session.connection()
    changes: dict[str, Any] = {}
    if leaders := sorted({each.leader_id for each in happened if isinstance(each, LeaderEnded)}):
        changes["origins"] = _leaders_ended(connection, leaders)
    if keys := _keys_to_join(snapshot, happened):
        changes["answers"], changes["leaders"] = shared_answers(connection, keys, now - policy.reuse)
    if jobs := _jobs_named(snapshot, happened):
        changes["taken_jobs"] = _taken(connection, jobs)
        changes["latencies"] = _latencies(session, _runs_with_jobs(snapshot, happened), policy, now)
    if any(isinstance(each, _PAYS) for each in happened):
        changes["budgets"] = _budgets(session, snapshot, now, with_budget)
    if announcing := [each.run_id for each in happened if isinstance(each, CallbackReceived) and each.announced]:
        changes["announced"] = _announced(connection, announcing)
    return replace(snapshot, **changes)


def _leaders_ended(connection: Connection, ids: Sequence[str]) -> dict[str, Origin]:
    return {origin.run.id: origin for origin in _origins(connection.execute(_ORIGINS, {"ids": ids}))}


def _announced(connection: Connection, run_ids: Sequence[str]) -> dict[str, int]:
    return {row[0]: row[1] for row in connection.execute(_ANNOUNCED, {"ids": run_ids})}


def _latencies(
    session: Session, runs: Sequence[RunRow], policy: DetectionPolicy, now: datetime
) -> dict[tuple[str, str], Latency]:
    return {(run.mode, run.detector): policy.measured(session, run.mode, run.detector, now).called_back for run in runs}


def _budgets(
    session: Session, snapshot: Snapshot, now: datetime, with_budget: Collection[tuple[str, str]]
) -> Mapping[tuple[str, str], Mapping[str, BudgetUsage]]:
    owners = {(run.account_id, run.mode) for run in snapshot.runs.values()}.intersection(with_budget)
    return usage_of(session, owners, now, lock=True) if owners else {}


def complete_facts(session: Session, snapshot: Snapshot, policy: DetectionPolicy) -> Snapshot:
    """Return the snapshot with what results are composed of."""
    rounds = {detection.id: detection.round for detection in snapshot.detections.values()}
    ids = [run.id for run in snapshot.runs.values() if rounds.get(run.detection_id) == run.round]
    connection = session.connection()
    seen: dict[str, list[ObservationRow]] = defaultdict(list)
    charges: dict[str, list[LedgerRow]] = defaultdict(list)
    if ids:
        for row in connection.execute(_OBSERVATIONS, {"ids": ids}):
            seen[row[0]].append(ObservationRow(*row))
        for row in connection.execute(_CHARGES, {"ids": ids}):
            entry = LedgerRow(*row)
            charges[entry.run_id].append(entry)
    facts = Facts(
        {run_id: tuple(rows) for run_id, rows in seen.items()},
        dict(policy.callbacks_seen(session, ids)) if ids else {},
        {run_id: tuple(rows) for run_id, rows in charges.items()},
    )
    return replace(snapshot, facts=facts)


def shared_answers(
    connection: Connection, keys: set[DedupKey], since: datetime
) -> tuple[dict[DedupKey, Origin], dict[DedupKey, str]]:
    """Return the latest answer to each question since then, and the run that asks it now."""
    asked = {
        "accounts": sorted({account for account, _, _ in keys}),
        "modes": sorted({mode for _, mode, _ in keys}),
        "keys": sorted({key for _, _, key in keys}),
    }
    answers: dict[DedupKey, Origin] = {}
    for origin in _origins(connection.execute(_ANSWERS, {**asked, "since": since})):
        run = origin.run
        answers[run.account_id, run.mode, run.dedup_key or ""] = origin  # the latest comes last
    leaders = {(row[0], row[1], row[2]): row[3] for row in connection.execute(_LEADERS, asked)}
    return answers, leaders


def _origins(rows: Iterable[Any]) -> Iterable[Origin]:
    for row in rows:
        values = tuple(row)
        run, seen = values[: len(RUN_COLUMNS)], values[len(RUN_COLUMNS) :]
        yield Origin(RunRow(*run), ObservationRow(*seen) if seen[0] is not None else None)


def _keys_to_join(snapshot: Snapshot, happened: Sequence[Input]) -> set[DedupKey]:
    """Return the questions that may have an answer already: of runs that are queued now, or that a cascade comes to."""
    coming = {each.detection_id: each.media_id for each in happened if isinstance(each, inputs.SourceReady)}
    following = {each.run_id for each in happened if isinstance(each, LeaderEnded)}
    keys: set[DedupKey] = set()
    for run in snapshot.runs.values():
        detection = snapshot.detections.get(run.detection_id)
        if detection is not None and run.round == detection.round and shares(detection):
            media = snapshot.media.get(coming.get(detection.id, ""))
            found = (_waiting_key(run, detection, following), _coming_key(run, detection, media))
            keys |= {(run.account_id, run.mode, key) for key in found if key}
    return keys


def _waiting_key(run: RunRow, detection: DetectionRow, following: Collection[str]) -> str | None:
    """Return the key of a run that a cascade may come to, or that is to learn of its leader's end."""
    waits_in_cascade = run.state == RunState.RESERVED.value and detection.rule == Rule.CASCADE.value
    return run.dedup_key if waits_in_cascade or run.id in following else None


def _coming_key(run: RunRow, detection: DetectionRow, media: MediaRow | None) -> str | None:
    """Return the key that the run has once this audio is its detection's."""
    return dedup_key(detection, run, media.sha256) if media is not None else None


def _runs_with_jobs(snapshot: Snapshot, happened: Sequence[Input]) -> list[RunRow]:
    found = []
    for each in happened:
        if isinstance(each, VendorAccepted) or (isinstance(each, CallbackReceived) and each.job_id is not None):
            run_id = each.run_id
            while run_id in snapshot.successors:
                run_id = snapshot.successors[run_id]
            if run_id in snapshot.runs:
                found.append(snapshot.runs[run_id])
    return found


def _jobs_named(snapshot: Snapshot, happened: Sequence[Input]) -> dict[tuple[str, str], set[str]]:
    """Return the vendors' jobs that are named, by mode and vendor."""
    jobs: dict[tuple[str, str], set[str]] = defaultdict(set)
    for each in happened:
        job_id = each.accepted.job_id if isinstance(each, VendorAccepted) else None
        if isinstance(each, CallbackReceived):
            job_id = each.job_id
        if job_id is not None and isinstance(each, VendorAccepted | CallbackReceived):
            run = snapshot.runs.get(each.run_id)
            if run is not None and run.vendor_job_id != job_id:
                jobs[run.mode, run.vendor].add(job_id)
    return jobs


def _taken(connection: Connection, jobs: dict[tuple[str, str], set[str]]) -> dict[tuple[str, str, str], str]:
    taken = {}
    for (mode, vendor), named in sorted(jobs.items()):
        for job_id, run_id in connection.execute(_JOBS, {"mode": mode, "vendor": vendor, "jobs": sorted(named)}):
            taken[mode, vendor, job_id] = run_id
    return taken
