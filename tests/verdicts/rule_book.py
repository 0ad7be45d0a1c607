"""The aggregate rule once more, in the plainest words: a witness against `service.verdicts.verdict`.

It counts words and knows nothing of parts, readings or scores. A word is what `votes_cast` calls a run.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from service.verdicts.votes import Rule

DECLINED = ("too_short", "not_enough_music")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the customer reads of it."""

    status: str
    verdict: str
    reason: str | None
    agreement: str
    votes: tuple[int, int, int, int]  # ai, no_ai, abstained, no_answer


def by_the_book(words: Sequence[str], rule: Rule, quorum: int) -> Outcome:
    """What runs that ended so add up to, the order being nothing."""
    count = Counter(words)
    ai, no, abstained = count["AI"] + count["partial"], count["no"], count["abstain"]
    votes = (ai, no, abstained, len(words) - ai - no - abstained)
    if count["cancelled"]:
        return Outcome("cancelled", "not_analyzed", "cancelled", "none", votes)
    verdict, reason = _said(count, rule, quorum) if ai + no else _silent(words)
    return Outcome(_status(words, votes), verdict, reason, _agreement(ai, no), votes)


def _said(count: Counter[str], rule: Rule, quorum: int) -> tuple[str, str | None]:
    full, ai, no = count["AI"], count["AI"] + count["partial"], count["no"]
    if ai + no < quorum:
        return "inconclusive", "quorum_not_met"
    positive = "ai_generated" if full > ai / 2 else "ai_partial"
    if not no or (ai and rule is Rule.ANY) or (rule is Rule.MAJORITY and ai > no):
        return positive, None
    if not ai or (rule is Rule.MAJORITY and no > ai):
        return "no_ai_detected", None
    return "inconclusive", "detector_disagreement"


def _silent(words: Sequence[str]) -> tuple[str, str | None]:
    if "abstain" in words:
        return "inconclusive", "abstained"
    declined = bool(words) and all(word in DECLINED for word in words)
    return "not_analyzed", "content_not_analyzable" if declined else "no_detector_answered"


def _status(words: Sequence[str], votes: tuple[int, int, int, int]) -> str:
    if sum(votes[:3]):
        return "completed_partial" if votes[3] else "completed"
    if words and all(word in DECLINED for word in words):
        return "completed"
    return "expired" if words and all(word == "timeout" for word in words) else "failed"


def _agreement(ai: int, no: int) -> str:
    match sorted((ai, no)):
        case [0, most]:
            return ("none", "single", "unanimous")[min(most, 2)]
        case [fewer, most]:
            return "split" if fewer == most else "majority"
    raise AssertionError("two counts are two counts")
