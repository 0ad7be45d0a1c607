"""After an adapter was mended: stored answers are read again, and where the answer is another one now, it is revised.

No vendor is asked. Detections are gone through in the order of their ids, each in a transaction of its own, so it may
be stopped and begun again at any time; what is done is found unchanged. Not touched: what has not ended, was
cancelled or erased, and earlier rounds of what was asked again.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import structlog
from sqlmodel import Session, col, or_, select

from service.kit.clock import Clock
from service.kit.db.database import Database
from service.reprocess.reread import Left, RereadAnswer, answer_of, facts_today, reread
from service.runs import inputs
from service.runs.inputs import ReadAgain
from service.runs.load.load_facts import detection_facts, run_facts, runs_of
from service.runs.load.lock import lock_detection
from service.runs.policy import DetectionPolicy
from service.runs.state.models import Detection, Run
from service.runs.step import step_one
from service.verdicts.result import compose
from service.verdicts.verdict import DetectionStatus

_SLICE = 100

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class AnswerFilter:
    """Which answers: of a detector or a vendor, of detections created since, in bytes that came since."""

    kept_since: datetime
    detector: str | None = None
    since: datetime | None = None
    after: str = ""  # a detection's id: those before it, and itself, are done


@dataclass(frozen=True, slots=True)
class Change:
    """A detection whose answer is another one now."""

    detection_id: str
    before: str | None
    after: str | None


@dataclass(slots=True)
class Tally:
    """The progress so far. `runs` counts those that were read, and those that were left by why."""

    detections: int = 0
    changes: list[Change] = field(default_factory=list)
    runs: Counter[str] = field(default_factory=Counter)
    broken: int = 0
    last: str = ""


@dataclass(frozen=True, slots=True)
class _Looked:
    change: Change | None
    runs: Counter[str]
    again: dict[str, inputs.Reread]


async def renormalise(
    database: Database,
    policy: DetectionPolicy,
    wanted: AnswerFilter,
    clock: Clock,
    *,
    dry_run: bool = False,
    tell: Callable[[Tally], None] = lambda _tally: None,
) -> Tally:
    """Every wanted detection has been looked at, and revised where its answer changed; with `dry_run` only counted.

    `tell` hears of the progress, after each slice. A detection that fails is logged, counted, and harms no other.
    """
    tally = Tally(last=wanted.after)
    while ids := await database.read(find, wanted, tally.last, _SLICE):
        for detection_id in ids:
            try:
                looked = await database.read(look, detection_id, wanted, policy)
                if looked.change is not None and not dry_run:
                    looked = await database.write(revise_reread, detection_id, wanted, policy, clock())
            except Exception:
                log.exception("renormalise.failed", detection_id=detection_id)
                tally.broken += 1
            else:
                tally.runs += looked.runs
                tally.changes += [looked.change] if looked.change is not None else []
            tally.detections += 1
            tally.last = detection_id
        tell(tally)
    return tally


def find(session: Session, wanted: AnswerFilter, after: str, limit: int) -> list[str]:
    """Return the next ended detections with a run that the filter selects, by id."""
    found = select(Detection.id).where(
        col(Detection.id) > after,
        col(Detection.completed_at).is_not(None),
        col(Detection.erased_at).is_(None),
        Detection.status != DetectionStatus.CANCELLED.value,
    )
    if wanted.since is not None:
        found = found.where(col(Detection.created_at) >= wanted.since)
    if wanted.detector is not None:
        named = or_(col(Run.detector) == wanted.detector, col(Run.vendor) == wanted.detector)
        found = found.where(select(Run.id).where(Run.detection_id == Detection.id, named).exists())
    return list(session.exec(found.order_by(col(Detection.id)).limit(limit)))


def look(session: Session, detection_id: str, wanted: AnswerFilter, policy: DetectionPolicy) -> _Looked:
    """Return what its answers mean today, beside what they meant. Nothing is written."""
    detection = session.get_one(Detection, detection_id)
    runs = runs_of(session, detection.id)
    counts: Counter[str] = Counter()
    again: dict[str, RereadAnswer] = {}
    for run in runs:
        if wanted.detector not in (None, run.detector, run.vendor):
            continue
        found = reread(session, run, policy.catalogue, wanted.kept_since)
        counts[found.value if isinstance(found, Left) else "read"] += 1
        if isinstance(found, RereadAnswer):
            again[run.id] = found
    before = run_facts(session, runs, policy)
    after = [facts_today(facts, again[facts.run_id]) if facts.run_id in again else facts for facts in before]
    about = detection_facts(session, detection, runs)
    old, new = compose(about, before), compose(about, after)
    if answer_of(old) == answer_of(new):
        return _Looked(None, counts, {})
    altered = {now.run_id for was, now in zip(before, after, strict=True) if was != now}
    change = Change(detection_id, old["verdict"], new["verdict"])
    read = {run_id: inputs.Reread(again[run_id].said, again[run_id].seen.n) for run_id in altered}
    return _Looked(change, counts, read)


def revise_reread(
    session: Session, detection_id: str, wanted: AnswerFilter, policy: DetectionPolicy, now: datetime
) -> _Looked:
    """Give the detection a further revision with one event, if its answer is another one also under its lock."""
    detection = lock_detection(session, detection_id)
    open_ = detection.completed_at is None or detection.status == DetectionStatus.CANCELLED.value
    if open_ or detection.erased_at is not None:
        return _Looked(None, Counter(), {})
    looked = look(session, detection_id, wanted, policy)
    if looked.change is not None:
        step_one(session, ReadAgain(detection_id, looked.again), policy, now)
    return looked
