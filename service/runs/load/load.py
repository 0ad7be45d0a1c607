"""Loading what a batch of inputs is decided on: in a fixed number of set-based statements, locked in one order.

The order: audio keys, detections by id, runs by id. Claims take runs by their own rows and know nothing of the
detection's lock; so every run that may change is locked too, and read under that lock.

A lock and the read that it protects are two statements where tables are joined: under READ COMMITTED a locked row that
is joined to others shows those as they were (PostgreSQL manual, 13.2.1).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, case, func, or_, select, text
from sqlmodel import Session

from service.billing.budgets import has_budget
from service.runs import inputs
from service.runs.dedup_key import can_share
from service.runs.inputs import DetectionInput, Input, RunInput, SourceReady
from service.runs.load.load_related import complete_facts, load_related
from service.runs.load.snapshot import Snapshot
from service.runs.policy import DetectionPolicy
from service.runs.state.models import DETECTION, DETECTION_COLUMNS, MEDIA, MEDIA_COLUMNS, OBSERVATION, RUN, RUN_COLUMNS
from service.runs.state.rows import DetectionRow, MediaRow, RunRow
from service.verdicts.votes import Rule

_IDS: Any = bindparam("ids", expanding=True)
_TARGET = (*DETECTION_COLUMNS, has_budget(DETECTION.c.account_id, DETECTION.c.mode).label("has_budget"))
_BY_RUN = (
    select(RUN.c.id, RUN.c.successor_run_id, *_TARGET, *MEDIA_COLUMNS)
    .join(DETECTION, DETECTION.c.id == RUN.c.detection_id)
    .outerjoin(MEDIA, MEDIA.c.id == DETECTION.c.media_id)
    .where(RUN.c.id.in_(_IDS))
)
_BY_DETECTION = (
    select(*_TARGET, *MEDIA_COLUMNS)
    .outerjoin(MEDIA, MEDIA.c.id == DETECTION.c.media_id)
    .where(DETECTION.c.id.in_(_IDS))
)
# FOR NO KEY UPDATE: no statement deletes a detection or changes its id. PostgreSQL looks at a run's foreign key again
# where one transaction writes the run twice, as a claim does, and that look must not wait for us.
_DETECTIONS = (
    select(*DETECTION_COLUMNS).where(DETECTION.c.id.in_(_IDS)).order_by(DETECTION.c.id).with_for_update(key_share=True)
)
_FREE_DETECTIONS = (
    select(*DETECTION_COLUMNS)
    .where(DETECTION.c.id.in_(_IDS))
    .order_by(DETECTION.c.id)
    .with_for_update(key_share=True, skip_locked=True)
)
# A run gets a look only from the transaction that has its detection, so this subquery sees the last one.
_LAST_N = select(func.max(OBSERVATION.c.n)).where(OBSERVATION.c.run_id == RUN.c.id).scalar_subquery()
_RUNS = (
    select(*RUN_COLUMNS, _LAST_N.label("last_n"))
    .where(RUN.c.detection_id.in_(_IDS))
    .order_by(RUN.c.id)
    .with_for_update(key_share=True)
)
_MEDIA = select(*MEDIA_COLUMNS).where(MEDIA.c.id.in_(_IDS)).order_by(MEDIA.c.id)
_LOCKED_MEDIA = _MEDIA.with_for_update()
_FOLLOWER = RUN.alias("follower")
_LED = (
    select(_FOLLOWER.c.follows_run_id, func.min(case((_FOLLOWER.c.ended_at.is_(None), _FOLLOWER.c.id))))
    .join(RUN, RUN.c.id == _FOLLOWER.c.follows_run_id)
    .where(RUN.c.detection_id.in_(_IDS), or_(_FOLLOWER.c.ended_at.is_(None), _FOLLOWER.c.state == "timed_out"))
    .group_by(_FOLLOWER.c.follows_run_id)
)
_WAIT_FOR_KEYS = text(
    "SELECT count(pg_advisory_xact_lock(hashtextextended(key, 0)))"
    " FROM (SELECT unnest(CAST(:keys AS text[])) AS key) AS sorted"
)
_TRY_KEYS = text(
    "SELECT key, pg_try_advisory_xact_lock(hashtextextended(key, 0))"
    " FROM (SELECT unnest(CAST(:keys AS text[])) AS key) AS sorted"
)

_GIVE_UP_RUNS = (inputs.Cancelled, inputs.SourceFailed, inputs.SourceReady)
_CHANGE_MEDIA = (inputs.SourceReady, inputs.AskedAgain)


@dataclass(frozen=True, slots=True)
class _Target:
    """A detection that inputs touch, as it was seen before it was locked."""

    row: DetectionRow
    has_budget: bool

    @property
    def shares(self) -> bool:
        """Return True if its runs may lead or follow others."""
        return not self.row.force and can_share(self.row.mode, self.row.source_name)


def load(
    session: Session,
    happened: Sequence[Input],
    policy: DetectionPolicy,
    now: datetime,
    *,
    wait: bool,
    facts: bool,
) -> Snapshot:
    """Return what these inputs are decided on, locked until the transaction ends.

    Without `wait`, rows that another transaction has locked are left out: their inputs find no detection there.
    """
    session.flush()
    connection = session.connection()
    targets, successors, media = _targets(connection, happened)
    media |= _coming_media(connection, happened)
    free = _lock_audio(connection, targets.values(), happened, media, wait=wait)
    led = _led(connection, [target.row.id for target in free if target.shares])
    free = _with_successors(connection, free, happened, led, targets, media)
    savepoint = session.begin_nested() if wait and _audio_may_come(free) else None
    detections = _lock_detections(connection, free, wait=wait)
    if savepoint is not None:
        if len(detections) < len(free):
            # Its audio came this very moment, and is to be locked first: the rows are let go.
            savepoint.rollback()
            return load(session, happened, policy, now, wait=wait, facts=facts)
        savepoint.commit()
    runs, last_n = _lock_runs(connection, detections)
    if any(isinstance(each, _CHANGE_MEDIA) for each in happened):
        media |= _locked_media(connection, happened, detections)
    locked = _oldest_locked(led, runs)
    snapshot = Snapshot(detections, runs, media=media, successors=successors, last_n=last_n, led=locked)
    held = {(target.row.account_id, target.row.mode) for target in targets.values() if target.has_budget}
    snapshot = load_related(session, snapshot, happened, policy, now, with_budget=held)
    return complete_facts(session, snapshot, policy) if facts else snapshot


def _audio_may_come(targets: Collection[_Target]) -> bool:
    """Return True if audio may come, while we wait for a lock, that is to be locked before."""
    return any(target.row.media_id is None and target.shares for target in targets)


def _oldest_locked(led: Mapping[str, str | None], runs: Collection[str]) -> dict[str, str | None]:
    """Return each leader's oldest open follower, where that is locked too."""
    return {leader: (oldest if oldest in runs else None) for leader, oldest in led.items()}


def _targets(
    connection: Connection, happened: Sequence[Input]
) -> tuple[dict[str, _Target], dict[str, str], dict[str, MediaRow]]:
    """Return the detections that are touched, which runs were replaced by which, and the audio of all."""
    targets: dict[str, _Target] = {}
    successors: dict[str, str] = {}
    media: dict[str, MediaRow] = {}
    wanted = sorted({each.run_id for each in happened if isinstance(each, RunInput)})
    while wanted:
        following = []
        for run_id, successor, *rest in connection.execute(_BY_RUN, {"ids": wanted}):
            _note(rest, targets, media)
            if successor is not None:
                successors[run_id] = successor
                following.append(successor)
        wanted = sorted(set(following) - successors.keys())
    whole = sorted({each.detection_id for each in happened if isinstance(each, DetectionInput)})
    if whole:
        for row in connection.execute(_BY_DETECTION, {"ids": whole}):
            _note(row, targets, media)
    return targets, successors, media


def _note(row: Any, targets: dict[str, _Target], media: dict[str, MediaRow]) -> None:
    values = tuple(row)
    *detection, with_budget = values[: len(_TARGET)]
    target = _Target(DetectionRow(*detection), with_budget)
    targets[target.row.id] = target
    if target.row.media_id is not None:
        media[target.row.media_id] = MediaRow(*values[len(_TARGET) :])


def _coming_media(connection: Connection, happened: Sequence[Input]) -> dict[str, MediaRow]:
    """Return the audio that detections are about to have."""
    ids = sorted({each.media_id for each in happened if isinstance(each, SourceReady)})
    return {row[0]: MediaRow(*row) for row in connection.execute(_MEDIA, {"ids": ids})} if ids else {}


def _lock_audio(
    connection: Connection,
    targets: Collection[_Target],
    happened: Sequence[Input],
    media: dict[str, MediaRow],
    *,
    wait: bool,
) -> list[_Target]:
    """Return the detections whose audio is ours alone now: until we commit no other moves runs that share it."""
    if connection.dialect.name != "postgresql":
        return list(targets)
    keys = _audio_keys(targets, happened, media)
    wanted = sorted(set(keys.values()))
    if not wanted:
        return list(targets)
    if wait:
        connection.execute(_WAIT_FOR_KEYS, {"keys": wanted})
        return list(targets)
    ours = {key for key, got in connection.execute(_TRY_KEYS, {"keys": wanted}) if got}
    return [target for target in targets if target.row.id not in keys or keys[target.row.id] in ours]


def _audio_keys(
    targets: Collection[_Target], happened: Sequence[Input], media: Mapping[str, MediaRow]
) -> dict[str, str]:
    """Return the key of the audio that each of these detections has, or is about to have."""
    coming = {each.detection_id: each.media_id for each in happened if isinstance(each, SourceReady)}
    keys: dict[str, str] = {}
    for target in targets:
        media_id = coming.get(target.row.id, target.row.media_id)
        if target.shares and media_id is not None and media_id in media:
            keys[target.row.id] = audio_key(target.row.account_id, target.row.mode, media[media_id].sha256)
    return keys


def audio_key(account_id: str, mode: str, sha256: str) -> str:
    """Return the key that those hold who move runs which share answers about these bytes."""
    return f"audio:{account_id}:{mode}:{sha256}"


def _led(connection: Connection, detection_ids: Sequence[str]) -> dict[str, str | None]:
    """Return the runs of these detections that others follow, each with its oldest open follower."""
    if not detection_ids:
        return {}
    return {row[0]: row[1] for row in connection.execute(_LED, {"ids": list(detection_ids)})}


def _with_successors(
    connection: Connection,
    free: list[_Target],
    happened: Sequence[Input],
    led: dict[str, str | None],
    targets: dict[str, _Target],
    media: dict[str, MediaRow],
) -> list[_Target]:
    """Return the detections with those whose runs may go on with the work of a run that is given up."""
    gives_up = any(isinstance(each, _GIVE_UP_RUNS) for each in happened)
    if not gives_up and all(target.row.rule != Rule.CASCADE.value for target in free):
        return free
    oldest = sorted({run_id for run_id in led.values() if run_id is not None})
    if not oldest:
        return free
    known = {target.row.id for target in free}
    added: dict[str, _Target] = {}
    for _, _, *rest in connection.execute(_BY_RUN, {"ids": oldest}):
        _note(rest, added, media)
    targets.update(added)
    return [*free, *(target for target in added.values() if target.row.id not in known)]


def _lock_detections(connection: Connection, targets: Sequence[_Target], *, wait: bool) -> dict[str, DetectionRow]:
    """Return the detections as they are now, locked. One whose audio came this very moment is left out."""
    if not targets:
        return {}
    if connection.dialect.name == "sqlite":
        return {target.row.id: target.row for target in targets}  # a writer there is alone: it is as it was
    seen = {target.row.id: target.row.media_id for target in targets}
    statement = _DETECTIONS if wait else _FREE_DETECTIONS
    found = [DetectionRow(*row) for row in connection.execute(statement, {"ids": sorted(seen)})]
    return {row.id: row for row in found if row.media_id == seen[row.id]}


def _lock_runs(connection: Connection, detections: Collection[str]) -> tuple[dict[str, RunRow], dict[str, int]]:
    """Return all runs of these detections, locked, and the number of each one's last look, if it has one."""
    runs: dict[str, RunRow] = {}
    last_n: dict[str, int] = {}
    for row in connection.execute(_RUNS, {"ids": list(detections)}) if detections else ():
        *values, n = row
        runs[row[0]] = RunRow(*values)
        if n is not None:
            last_n[row[0]] = n
    return runs, last_n


def _locked_media(
    connection: Connection, happened: Sequence[Input], detections: dict[str, DetectionRow]
) -> dict[str, MediaRow]:
    """Return audio that is about to be needed: its erasure has committed, or sees that it is needed."""
    ids = {each.media_id for each in happened if isinstance(each, SourceReady)}
    again = {each.detection_id for each in happened if isinstance(each, inputs.AskedAgain)}
    ids |= {row.media_id for key, row in detections.items() if key in again and row.media_id is not None}
    if not ids:
        return {}
    return {row[0]: MediaRow(*row) for row in connection.execute(_LOCKED_MEDIA, {"ids": sorted(ids)})}
