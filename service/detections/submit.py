"""Taking a question in: the detection and its runs are in the database, and workers are woken."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlmodel import Session

from service.detectors.catalogue import Catalogue
from service.kit.errors import CallerError, Problem
from service.kit.ids import new_id
from service.media.models import Media
from service.runs.accepted_audio import hopeless, what_each_takes
from service.runs.decide import decide
from service.runs.decide.rules.rounds import first_runs, plan_reminder
from service.runs.dedup_key import can_share, dedup_key, shares
from service.runs.inputs import Asked
from service.runs.load.load_facts import media_row
from service.runs.load.load_related import shared_answers
from service.runs.load.lock import lock_audio
from service.runs.load.snapshot import DedupKey, Facts, Origin, Snapshot
from service.runs.policy import DetectionPolicy
from service.runs.save import save
from service.runs.state.lifecycle import SourceState
from service.runs.state.rows import DetectionRow, MediaRow, RunRow
from service.verdicts.verdict import DetectionStatus
from service.verdicts.votes import Rule


@dataclass(frozen=True, slots=True)
class Question:
    """A request for a detection, well-formed. `detectors` empty means the default ones."""

    account_id: str
    mode: str
    source_url: str | None
    source_name: str | None
    media_id: str | None
    detectors: Sequence[str]
    rule: Rule
    quorum: int
    external_id: str | None
    metadata: Mapping[str, Any]
    declared: Mapping[str, Any] | None
    answer_within_seconds: int
    force: bool


@dataclass(frozen=True, slots=True)
class Submitted:
    """A detection as it was entered: its runs in the order asked for, and its audio where that is here already.

    `heard`: stored answers were taken over, so it says more than that it waits.
    """

    detection: DetectionRow
    runs: Sequence[RunRow]
    media: MediaRow | None
    heard: bool

    @property
    def id(self) -> str:
        """The detection's id."""
        return self.detection.id


def submit(session: Session, question: Question, policy: DetectionPolicy, now: datetime) -> Submitted:
    """Return the detection, queued; or ended, if all its answers are stored already.

    Raise `CallerError` with every problem of the question at once.
    """
    names = list(question.detectors) or policy.catalogue.defaults(question.mode)
    problems = _detector_problems(names, question, policy.catalogue)
    media = _media(session, question)
    if question.media_id is not None and media is None:
        problems.append(Problem("/source/media_id", "No such media in this account."))
    if media is not None and not unknown_names(names, question.mode, policy.catalogue):
        problems += _hopeless(names, media, policy.catalogue)
    if problems:
        detail = "The request is invalid. `errors` lists every problem."
        raise CallerError("invalid_request", detail, problems=tuple(problems))
    detection = _detection(question, media, now)
    plan_reminder(detection, now, timedelta(seconds=question.answer_within_seconds))
    runs = first_runs(detection, names, [new_id("run") for _ in names], policy.catalogue, now)
    detection.deadline_at = max(run.deadline_at for run in runs)
    return _begin(session, detection, runs, media_row(media) if media is not None else None, policy, now)


def _begin(
    session: Session,
    detection: DetectionRow,
    runs: Sequence[RunRow],
    media: MediaRow | None,
    policy: DetectionPolicy,
    now: datetime,
) -> Submitted:
    """Decide on the new rows before they are written: some runs may follow others, or have answers already."""
    answers: dict[DedupKey, Origin] = {}
    leaders: dict[DedupKey, str] = {}
    if media is not None and shares(detection):
        keys = {(run.account_id, run.mode, dedup_key(detection, run, media.sha256) or "") for run in runs}
        answers, leaders = shared_answers(session.connection(), keys, now - policy.reuse)
    before = Snapshot(
        {detection.id: detection},
        {run.id: run for run in runs},
        media={media.id: media} if media is not None else {},
        answers=answers,
        leaders=leaders,
        facts=Facts({}, {}, {}),
    )
    decision = decide(before, Asked(detection.id), policy, now)
    after = before.after(decision)
    new_runs = list(after.runs.values())
    decision = replace(decision, detections=after.detections, runs=after.runs, new_runs=new_runs)
    save(session, before, [decision], policy, now, is_new=True)
    session.expire_all()
    entered = after.runs_of(detection.id, 1)
    heard = bool(decision.observations) or any(run.ended_at is not None for run in entered)
    return Submitted(after.detections[detection.id], entered, media, heard)


def unknown_names(names: Sequence[object], mode: str, catalogue: Catalogue) -> list[Problem]:
    """Return a problem for each text among `names` that does not name a detector of this mode."""
    offered = catalogue.names(mode)
    known = ", ".join(offered) or "none"
    return [
        Problem(f"/detectors/{place}", f"{name[:100]!r} is not an available detector; available: {known}")
        for place, name in enumerate(names)
        if isinstance(name, str) and name not in offered
    ]


def _detector_problems(names: Sequence[str], question: Question, catalogue: Catalogue) -> list[Problem]:
    if not catalogue.names(question.mode):
        return [Problem("/detectors", _none_configured(question.mode, catalogue))]
    problems = unknown_names(names, question.mode, catalogue)
    if len(set(names)) < len(names):
        problems.append(Problem("/detectors", "must name each detector once"))
    if question.quorum > len(names):
        more = f"quorum ({question.quorum}) is greater than the number of detectors ({len(names)})"
        problems.append(Problem("/decision/quorum", more))
    vendors = {catalogue.vendor_of(question.mode, name) for name in names}
    if question.rule is Rule.CASCADE and len(vendors) < 2:  # noqa: PLR2004 - a positive needs a second vendor
        problems.append(Problem("/decision/rule", "cascade needs detectors of at least two vendors"))
    return problems


def _none_configured(mode: str, catalogue: Catalogue) -> str:
    ways = f"; the operator sets {', or '.join(catalogue.proofs)}" if catalogue.proofs else ""
    return f"No detector is configured for {mode} keys{ways}."


def _hopeless(names: Sequence[str], media: Media, catalogue: Catalogue) -> list[Problem]:
    against = hopeless(names, media, media.mode, catalogue)
    if against is None:
        return []
    return [Problem("/detectors", what_each_takes(names, media, against, media.mode, catalogue))]


def _media(session: Session, question: Question) -> Media | None:
    if question.media_id is None:
        return None
    media = session.get(Media, question.media_id)
    if media is None or (media.account_id, media.mode) != (question.account_id, question.mode):
        return None
    if not question.force and can_share(media.mode, question.source_name or media.name):
        lock_audio(session, media.account_id, media.mode, media.sha256)  # before the row: see `lock`
    if session.connection().dialect.name == "postgresql":
        # Locked, so that it is not erased meanwhile. On SQLite there is one writer at a time.
        media = session.get_one(Media, media.id, with_for_update=True, populate_existing=True)
    return None if media.erased_at else media


def _detection(question: Question, media: Media | None, now: datetime) -> DetectionRow:
    return DetectionRow(
        id=new_id("det"),
        account_id=question.account_id,
        mode=question.mode,
        created_at=now,
        external_id=question.external_id,
        metadata_json=json.dumps(question.metadata, ensure_ascii=False),
        declared_json=None if question.declared is None else json.dumps(question.declared, ensure_ascii=False),
        rule=question.rule.value,
        quorum=question.quorum,
        force=question.force,
        status=DetectionStatus.QUEUED.value,
        answer_by_at=now,
        deadline_at=now,
        source_url=question.source_url,
        source_name=question.source_name or (media.name if media else "audio"),
        source_state=(SourceState.READY if media else SourceState.DUE).value,
        media_id=media.id if media else None,
        due_at=None if media else now,
    )
