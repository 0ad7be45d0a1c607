"""The one sentence shown to people. It counts detectors, names no score and never says "human"."""

from service.detectors.enums import ReasonCode, Verdict
from service.verdicts.verdict import Decided
from service.verdicts.votes import OutcomeReason

_PHRASES: dict[str, str] = {
    ReasonCode.TOO_SHORT: "file too short",
    ReasonCode.TOO_LONG: "file too long",
    ReasonCode.NOT_ENOUGH_MUSIC: "not enough music",
    ReasonCode.NO_AUDIO: "no audio in the file",
    OutcomeReason.INVALID_FILE: "file cannot be read as audio",
    OutcomeReason.UNSUPPORTED_FORMAT: "format not supported",
    OutcomeReason.FILE_TOO_LARGE: "file too large",
    OutcomeReason.SOURCE_UNREACHABLE: "source could not be fetched",
    OutcomeReason.NO_DETECTOR_ANSWERED: "no detector answered",
    OutcomeReason.CONTENT_NOT_ANALYZABLE: "content cannot be analyzed",
    OutcomeReason.CANCELLED: "cancelled",
}


_PROMISE = ", under review"


def without_promise(display: str | None) -> str | None:
    """Return the sentence without its word of a review that is to come."""
    return None if display is None else display.removesuffix(_PROMISE)


def display_text(decided: Decided, *, reviewed: bool = False) -> str | None:
    """Return one English sentence for the outcome; `None` before the end. `reviewed`: a person has decided."""
    votes = decided.votes
    total = votes.cast + votes.abstained + votes.no_answer
    match decided.verdict:
        case None:
            return None
        case Verdict.AI_GENERATED:
            return f"{_report(votes.ai, total)} AI-generated music"
        case Verdict.AI_PARTIAL:
            return f"{_report(votes.ai, total)} partly AI-generated music"
        case Verdict.NO_AI_DETECTED:
            return f"no AI detected by {votes.no_ai} of {total} (not proof of human authorship)"
        case Verdict.INCONCLUSIVE:
            return f"{_doubt(decided, total)}{', reviewed' if reviewed else _PROMISE}"
        case Verdict.NOT_ANALYZED:
            return f"not scanned: {_why_not(decided)}"


def _report(count: int, total: int) -> str:
    noun = "detector" if total == 1 else "detectors"
    return f"{count} of {total} {noun} {'reports' if count == 1 else 'report'}"


def _doubt(decided: Decided, total: int) -> str:
    match decided.outcome_reason:
        case OutcomeReason.ABSTAINED:
            return "no detector could tell"
        case OutcomeReason.QUORUM_NOT_MET:
            return f"only {decided.votes.cast} of {total} gave a vote, not enough to decide"
        case _:
            return "detectors disagree"


def _why_not(decided: Decided) -> str:
    if decided.outcome_reason is OutcomeReason.CONTENT_NOT_ANALYZABLE and decided.unanswered:
        return ", ".join(_phrase(reason) for reason in decided.unanswered)
    return _phrase(decided.outcome_reason or OutcomeReason.NO_DETECTOR_ANSWERED)


def _phrase(word: str) -> str:
    return _PHRASES.get(word, word.replace("_", " "))
