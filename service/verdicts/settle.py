"""Which of the ways to an outcome applies to a detection as it stands. Pure."""

from collections.abc import Sequence

from service.verdicts.facts import DetectionFacts, RunFacts
from service.verdicts.verdict import Decided, decide, decide_cancelled, decide_without_runs, undecided


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
