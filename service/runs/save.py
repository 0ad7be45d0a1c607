"""Saving what was decided: many rows a statement, the outbox for all events together, gates last. One hand.

Only here are detections, runs, looks and revisions written; claims write leases and tries, and the columns of a
gate's queue.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, insert, literal, select, update
from sqlmodel import Session

from service.kit.db.database import insert_ignoring_conflicts, notify_on_commit
from service.kit.ids import new_id
from service.runs.decide.workbench import Decision
from service.runs.load.snapshot import Snapshot
from service.runs.policy import DetectionPolicy
from service.runs.state.lifecycle import CertificateState
from service.runs.state.models import CERTIFICATE, DETECTION, LEDGER, MEDIA, OBSERVATION, RAW_BODY, REVISION, RUN
from service.runs.state.rows import DetectionRow, RunRow

_KEYS_OF_DETECTION = ("id", "account_id", "mode", "created_at", "rule", "quorum", "force", "source_name")
_KEYS_OF_RUN = (
    "id", "detection_id", "round", "position", "account_id", "mode", "vendor", "detector", "tier", "created_at",
)  # fmt: skip
_OF_DETECTION = tuple(field.name for field in fields(DetectionRow) if field.name not in _KEYS_OF_DETECTION)
_OF_RUN = tuple(field.name for field in fields(RunRow) if field.name not in _KEYS_OF_RUN)

_UPDATE_DETECTIONS = (
    update(DETECTION)
    .where(DETECTION.c.id == bindparam("the_id"))
    .values({name: bindparam(name) for name in _OF_DETECTION})
)
_UPDATE_RUNS = update(RUN).where(RUN.c.id == bindparam("the_id")).values({name: bindparam(name) for name in _OF_RUN})
_IDS: Any = bindparam("ids", expanding=True)
# Two keys that only one run may have: taken from the one before the other has them.
_DROP_KEYS = update(RUN).where(RUN.c.id.in_(_IDS)).values(leader_key=None, vendor_job_id=None)
_MOVE_FOLLOWERS = (
    update(RUN)
    .where(RUN.c.follows_run_id == bindparam("leader"), RUN.c.ended_at.is_(None))
    .values(follows_run_id=bindparam("successor"))
)
_TAKEN = update(LEDGER).where(LEDGER.c.id == bindparam("the_id")).values(billed=True)
_NOT_TAKEN = delete(LEDGER).where(LEDGER.c.id == bindparam("the_id"))
_LATEST_TAKEN = (
    update(LEDGER)
    .where(
        LEDGER.c.id
        == select(func.max(LEDGER.c.id))
        .where(LEDGER.c.run_id.in_([bindparam("one"), bindparam("other")]))
        .scalar_subquery()
    )
    .values(billed=True)
)
_OPEN_CHARGES = insert(LEDGER).returning(LEDGER.c.run_id, LEDGER.c.id)
_KEEP_MEDIA = update(MEDIA).where(MEDIA.c.id.in_(_IDS)).values(delete_after=None)
_LOCK_MEDIA = select(MEDIA.c.id).where(MEDIA.c.id.in_(_IDS)).order_by(MEDIA.c.id).with_for_update()
_NEEDED = select(DETECTION.c.id).where(DETECTION.c.media_id == MEDIA.c.id, DETECTION.c.completed_at.is_(None)).exists()
_RELEASE_MEDIA = (
    update(MEDIA)
    .where(MEDIA.c.id == bindparam("the_id"), MEDIA.c.erased_at.is_(None), ~_NEEDED)
    .values(delete_after=bindparam("the_time"))
)


@dataclass(frozen=True, slots=True)
class Saved:
    """What saving gave: the ledger's numbers of submissions that are about to leave, by run."""

    charges: Mapping[str, int]


def save(
    session: Session,
    before: Snapshot,
    decisions: Sequence[Decision],
    policy: DetectionPolicy,
    now: datetime,
    *,
    is_new: bool = False,
) -> Saved:
    """Write what these decisions, made one after the other, came to. `is_new`: the detections are to be inserted."""
    connection = session.connection()
    detections: dict[str, DetectionRow] = {}
    runs: dict[str, RunRow] = {}
    for decision in decisions:
        detections |= decision.detections
        runs |= decision.runs
    inserted = {run.id for decision in decisions for run in decision.new_runs}
    _match_early_callbacks(session, before, decisions, runs, policy)
    _save_detections(connection, detections.values(), is_new=is_new)
    _save_runs(connection, decisions, runs, inserted)
    _save_looks(connection, decisions)
    _save_certificates(connection, before, decisions, runs, now)
    _save_media(connection, decisions)
    charges = _save_charges(connection, decisions)
    drafts = [draft for decision in decisions for draft in decision.drafts]
    if drafts:
        policy.outbox.record(session, drafts, now)
    if topics := {topic for decision in decisions for topic in decision.topics}:
        notify_on_commit(session, *topics)
    return Saved(charges)


def _match_early_callbacks(
    session: Session,
    before: Snapshot,
    decisions: Sequence[Decision],
    runs: Mapping[str, RunRow],
    policy: DetectionPolicy,
) -> None:
    """Callbacks that came before their run knew its job, or while it was between two steps, are due now."""
    known = [run_id for decision in decisions for run_id in decision.names_known]
    if known:
        rows = [runs[run_id] if run_id in runs else before.runs[run_id] for run_id in dict.fromkeys(known)]
        for matching in policy.on_names_known:
            matching(session, rows)


def _save_detections(connection: Connection, detections: Iterable[DetectionRow], *, is_new: bool) -> None:
    if is_new:
        _execute(connection, insert(DETECTION), [_values(row) for row in detections])
    else:
        _execute(connection, _UPDATE_DETECTIONS, [_changes(row, _OF_DETECTION) for row in detections])


def _save_runs(
    connection: Connection, decisions: Sequence[Decision], runs: Mapping[str, RunRow], inserted: set[str]
) -> None:
    moved = [pair for decision in decisions for pair in decision.followers_moved]
    if moved:
        connection.execute(_DROP_KEYS, {"ids": [leader for leader, _ in moved]})
    # A key that one run gives up and another takes in the same batch is given up first.
    ordered = sorted(
        (run for run in runs.values() if run.id not in inserted),
        key=lambda run: (run.leader_key is not None, run.vendor_job_id is not None, run.id),
    )
    _execute(connection, _UPDATE_RUNS, [_changes(row, _OF_RUN) for row in ordered])
    _execute(connection, insert(RUN), [_values(runs[run_id]) for run_id in runs if run_id in inserted])
    _execute(connection, _MOVE_FOLLOWERS, [{"leader": leader, "successor": successor} for leader, successor in moved])


def _save_looks(connection: Connection, decisions: Sequence[Decision]) -> None:
    looks = [_values(row) for decision in decisions for row in decision.observations]
    _execute(connection, insert(OBSERVATION), looks)
    bodies = {(row.owner_id, row.sha256): row for decision in decisions for row in decision.raw_bodies}
    _execute(connection, insert_ignoring_conflicts(connection, RAW_BODY), [asdict(row) for row in bodies.values()])
    _copy_bodies(connection, sorted({copy for decision in decisions for copy in decision.body_copies}))
    revisions = [asdict(row) for decision in decisions for row in decision.revisions]
    _execute(connection, insert(REVISION), revisions)


def _copy_bodies(connection: Connection, copies: Sequence[tuple[str, str, str]]) -> None:
    """Copy these bytes: the owner, the new owner, the hash."""
    for owner, new_owner, digest in copies:
        # As old as the first copy is, so it goes when that does.
        kept = select(literal(new_owner), *(column for column in RAW_BODY.c if column.name != "owner_id")).where(
            RAW_BODY.c.owner_id == owner, RAW_BODY.c.sha256 == digest
        )
        names = ["owner_id", *(column.name for column in RAW_BODY.c if column.name != "owner_id")]
        connection.execute(insert_ignoring_conflicts(connection, RAW_BODY).from_select(names, kept))


def _save_certificates(
    connection: Connection, before: Snapshot, decisions: Sequence[Decision], runs: Mapping[str, RunRow], now: datetime
) -> None:
    """Plan a question to the vendor about certificates that callbacks named."""
    rows = []
    for run_id, said in (each for decision in decisions for each in decision.announced):
        run = runs.get(run_id) or before.runs[run_id]
        rows.append(
            {
                "id": new_id("crt"),
                "detection_id": run.detection_id,
                "run_id": run.id,
                "account_id": run.account_id,
                "mode": run.mode,
                "vendor": run.vendor,
                "detector": run.detector,
                "state": CertificateState.ANNOUNCED.value,
                "format": "pdf",
                "due_at": now,
                "analysis_id": said.analysis_id,
                "tries": 0,
                **asdict(said.certificate),
            }
        )
    _execute(connection, insert(CERTIFICATE), rows)


def _save_media(connection: Connection, decisions: Sequence[Decision]) -> None:
    kept = sorted({media_id for decision in decisions for media_id in decision.media_kept})
    if kept:
        connection.execute(_KEEP_MEDIA, {"ids": kept})
    released = {media_id: at for decision in decisions for media_id, at in decision.media_released.items()}
    if not released:
        return
    # Of two that end at once the second, once it has the audio's row, sees that the first has ended.
    if connection.dialect.name == "postgresql":
        connection.execute(_LOCK_MEDIA, {"ids": sorted(released)})
    parameters = [{"the_id": media_id, "the_time": at} for media_id, at in sorted(released.items())]
    _execute(connection, _RELEASE_MEDIA, parameters)


def _save_charges(connection: Connection, decisions: Sequence[Decision]) -> dict[str, int]:
    _settle_charges(connection, decisions)
    opened = [_values(row) for decision in decisions for row in decision.charges]
    if not opened:
        return {}
    for row in opened:
        del row["id"]
    return {row[0]: row[1] for row in connection.execute(_OPEN_CHARGES, opened)}


def _settle_charges(connection: Connection, decisions: Sequence[Decision]) -> None:
    settled = [each for decision in decisions for each in decision.settled]
    _execute(connection, _TAKEN, [{"the_id": charge_id} for charge_id, taken in settled if taken])
    _execute(connection, _NOT_TAKEN, [{"the_id": charge_id} for charge_id, taken in settled if not taken])
    latest = [run_ids for decision in decisions for run_ids in decision.latest_taken]
    _execute(connection, _LATEST_TAKEN, [{"one": ids[0], "other": ids[-1]} for ids in latest])


def _execute(connection: Connection, statement: Any, parameters: Sequence[dict[str, Any]]) -> None:
    if parameters:
        connection.execute(statement, parameters)


def _changes(row: Any, names: Sequence[str]) -> dict[str, Any]:
    return {"the_id": row.id, **{name: getattr(row, name) for name in names}}


def _values(row: Any) -> dict[str, Any]:
    return {field.name: getattr(row, field.name) for field in fields(row)}
