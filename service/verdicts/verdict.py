"""From runs to one outcome: status, verdict, why, how agreed, and whether a person must look.

Pure, and blind to scores. Not here: how votes add up (`votes`), which detector is called next (`cascade`), the words
shown to people (`display`). A failure, a timeout or a refused file is never a pass.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from service.detectors.enums import ConflictKind, ReasonCode, RunStatus, Verdict
from service.detectors.reading import Conflict
from service.verdicts.across_detectors import (
    Components,
    JointAttribution,
    find_conflicts,
    join_attribution,
    join_components,
    no_components,
)
from service.verdicts.facts import DetectionFacts, RunFacts
from service.verdicts.votes import (
    Agreement,
    OutcomeReason,
    Part,
    Rule,
    VoteCounts,
    agreement,
    cast,
    combine,
    disagree,
    short_of_quorum,
    tally,
)

POSITIVE = (Verdict.AI_GENERATED, Verdict.AI_PARTIAL)


class DetectionStatus(StrEnum):
    """The progress of a detection. Distinct from its verdict."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    COMPLETED_PARTIAL = "completed_partial"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def ended(self) -> bool:
        """Return True if this revision will say no more."""
        return self not in (DetectionStatus.QUEUED, DetectionStatus.RUNNING)


@dataclass(frozen=True, slots=True)
class Decided:
    """What the runs add up to. `verdict` is `None` only while the detection has not ended."""

    status: DetectionStatus
    verdict: Verdict | None = None
    outcome_reason: OutcomeReason | None = None
    agreement: Agreement = Agreement.NONE
    votes: VoteCounts = field(default_factory=VoteCounts)
    components: Components = field(default_factory=no_components)
    attribution: JointAttribution = field(default_factory=JointAttribution)
    review_reasons: tuple[str, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    unanswered: tuple[ReasonCode, ...] = ()  # why runs gave no answer, each reason once, in the order asked


def decide(parts: Sequence[Part], *, rule: Rule, quorum: int, declared_ai: bool | None = None) -> Decided:
    """Return the outcome of runs that have all ended. What the uploader declared is compared, never counted.

    Raises `ValueError` if a run has not ended: a verdict is never a guess.
    """
    if not all(part.ended for part in parts):
        raise ValueError("a verdict needs every run to have ended; use undecided() until then")
    votes = cast(parts)
    counts = tally(parts)
    verdict, reason = combine(votes, rule=rule, quorum=quorum) if votes else _without_votes(parts, counts)
    return Decided(
        status=_status(parts, counts),
        verdict=verdict,
        outcome_reason=reason,
        agreement=agreement(counts),
        votes=counts,
        components=join_components(parts, rule=rule, quorum=quorum),
        attribution=join_attribution(parts) if verdict in POSITIVE else JointAttribution(),
        review_reasons=_review_reasons(parts, rule, quorum),
        conflicts=find_conflicts(parts, verdict, declared_ai=declared_ai),
        unanswered=_unanswered(parts),
    )


def decide_without_runs(reason: OutcomeReason, parts: Sequence[Part] = ()) -> Decided:
    """Return the outcome of a source that could not be had or is not audio: failed, for this reason."""
    return Decided(
        DetectionStatus.FAILED,
        Verdict.NOT_ANALYZED,
        reason,
        votes=VoteCounts(no_answer=len(parts)),
        unanswered=_unanswered(parts),
    )


def decide_cancelled(parts: Sequence[Part]) -> Decided:
    """Return the outcome of a cancelled detection: no verdict, even if some had voted. Their votes stay counted."""
    return Decided(DetectionStatus.CANCELLED, Verdict.NOT_ANALYZED, OutcomeReason.CANCELLED, votes=tally(parts))


def undecided(parts: Sequence[Part], *, again: bool = False) -> Decided:
    """Return what may be shown before the end: progress and votes, but no verdict. `again`: it is a re-check."""
    waiting = not again and all(part.status is RunStatus.PENDING for part in parts)
    status = DetectionStatus.QUEUED if waiting else DetectionStatus.RUNNING
    return Decided(status, votes=tally(parts))


def _without_votes(parts: Sequence[Part], counts: VoteCounts) -> tuple[Verdict, OutcomeReason]:
    if counts.abstained:
        return Verdict.INCONCLUSIVE, OutcomeReason.ABSTAINED
    if _all_are(RunStatus.NOT_APPLICABLE, parts):
        return Verdict.NOT_ANALYZED, OutcomeReason.CONTENT_NOT_ANALYZABLE
    return Verdict.NOT_ANALYZED, OutcomeReason.NO_DETECTOR_ANSWERED


def _status(parts: Sequence[Part], counts: VoteCounts) -> DetectionStatus:
    if counts.cast or counts.abstained:
        return DetectionStatus.COMPLETED_PARTIAL if counts.no_answer else DetectionStatus.COMPLETED
    if _all_are(RunStatus.NOT_APPLICABLE, parts):
        return DetectionStatus.COMPLETED
    # A file one vendor refused and another let time out was not declined by all: that is a failure.
    return DetectionStatus.EXPIRED if _all_are(RunStatus.TIMED_OUT, parts) else DetectionStatus.FAILED


def _all_are(status: RunStatus, parts: Sequence[Part]) -> bool:
    """Return True if every run that was needed ended so, and there was one."""
    return {part.status for part in parts if not part.sat_out} == {status}


def _review_reasons(parts: Sequence[Part], rule: Rule, quorum: int) -> tuple[str, ...]:
    votes = cast(parts)
    answered = bool(votes) or any(part.verdict is Verdict.INCONCLUSIVE for part in parts)
    found = {
        "quorum_not_met": answered and short_of_quorum(votes, rule=rule, quorum=quorum),
        "detector_disagreement": disagree(votes),
        "vendor_internal": any(_contradicts_itself(part) for part in parts),
        # An unconfirmed callback is not an answer, but what it claims is worth a look.
        "unverified_callback": any(part.reason_code is ReasonCode.UNVERIFIED_CALLBACK for part in parts),
    }
    return tuple(reason for reason, applies in found.items() if applies)


def _contradicts_itself(part: Part) -> bool:
    """Return True if the detector answered, and its vendor says two things of the same track."""
    if part.verdict is None or part.reading is None:
        return False
    return any(conflict.kind is ConflictKind.VENDOR_INTERNAL for conflict in part.reading.conflicts)


def _unanswered(parts: Sequence[Part]) -> tuple[ReasonCode, ...]:
    silent = (part for part in parts if part.vote is None and not part.sat_out)
    return tuple(dict.fromkeys(part.reason_code for part in silent if part.reason_code is not None))


def settle(detection: DetectionFacts, runs: Sequence[RunFacts], *, cancelled: bool = False) -> Decided:
    """Return the outcome now: cancelled, or without audio, or by the votes once all have ended, or still open."""
    parts = [run.part for run in runs]
    if cancelled:
        return decide_cancelled(parts)
    if detection.source_failure is not None:
        return decide_without_runs(detection.source_failure, parts)
    # A detection without runs yet is waiting for its audio.
    if not parts or not all(part.ended for part in parts):
        return undecided(parts, again=detection.revision > 1)
    declared_ai = detection.declared_ai
    return decide(parts, rule=detection.rule, quorum=detection.quorum, declared_ai=declared_ai)
