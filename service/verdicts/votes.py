"""What the runs say, counted. Here: parts, votes, and how votes add up to one side. Not here: statuses.

Only votes are combined. Scores of different detectors differ in meaning, so none is looked at, and neither is
a confidence.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from service.detectors.enums import ReasonCode, RunStatus, Verdict
from service.detectors.reading import Reading

RULE_VERSION = "1"


class Rule(StrEnum):
    """The customer's choice of how contradicting votes are settled."""

    CONSENSUS = "consensus"
    MAJORITY = "majority"
    ANY = "any"
    CASCADE = "cascade"


class Agreement(StrEnum):
    """The degree to which the votes agree."""

    UNANIMOUS = "unanimous"
    MAJORITY = "majority"
    SPLIT = "split"
    SINGLE = "single"
    NONE = "none"


class OutcomeReason(StrEnum):
    """Why a detection is inconclusive or not analysed. Closed inside, open for the customer."""

    QUORUM_NOT_MET = "quorum_not_met"
    DETECTOR_DISAGREEMENT = "detector_disagreement"
    ABSTAINED = "abstained"
    CONTENT_NOT_ANALYZABLE = "content_not_analyzable"
    NO_DETECTOR_ANSWERED = "no_detector_answered"
    SOURCE_UNREACHABLE = "source_unreachable"
    INVALID_FILE = "invalid_file"
    UNSUPPORTED_FORMAT = "unsupported_format"
    FILE_TOO_LARGE = "file_too_large"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Part:
    """One run as the verdict sees it. Parts are listed in the order asked for."""

    run_id: str
    detector: str
    vendor: str
    status: RunStatus
    reason_code: ReasonCode | None = None
    reading: Reading | None = None

    @property
    def ended(self) -> bool:
        """Return True if nothing more is expected of this run."""
        return self.status not in (RunStatus.PENDING, RunStatus.RUNNING)

    @property
    def sat_out(self) -> bool:
        """Return True if a cascade did without it: then it is neither a vote nor a failure."""
        return self.status is RunStatus.SKIPPED and self.reason_code is ReasonCode.FALLBACK_NOT_NEEDED

    @property
    def verdict(self) -> Verdict | None:
        """What it says of the whole track; `None` unless the run succeeded."""
        if self.status is not RunStatus.SUCCEEDED or self.reading is None:
            return None
        return self.reading.verdict

    @property
    def vote(self) -> "Vote | None":
        """Its vote on the whole track, if it casts one."""
        return vote_for(self, self.verdict)


@dataclass(frozen=True, slots=True)
class Vote:
    """One detector's word for one side."""

    detector: str
    vendor: str
    verdict: Verdict

    @property
    def positive(self) -> bool:
        """Return True if it says that a machine had a part in it."""
        return self.verdict is not Verdict.NO_AI_DETECTED


@dataclass(frozen=True, slots=True)
class VoteCounts:
    """The number of detectors that said each word. Counts only."""

    ai: int = 0
    no_ai: int = 0
    abstained: int = 0
    no_answer: int = 0

    @property
    def cast(self) -> int:
        """Return the number of votes."""
        return self.ai + self.no_ai


def vote_for(part: Part, verdict: Verdict | None) -> Vote | None:
    """Return `verdict` as a vote of this part's detector; `None` where the word takes no side."""
    if verdict in (Verdict.AI_GENERATED, Verdict.AI_PARTIAL, Verdict.NO_AI_DETECTED):
        return Vote(part.detector, part.vendor, verdict)
    return None


def cast(parts: Iterable[Part]) -> list[Vote]:
    """Return the votes on the whole track, in the order asked."""
    return [vote for part in parts if (vote := part.vote) is not None]


def tally(parts: Sequence[Part]) -> VoteCounts:
    """Return the counts over the runs that ended; a run that a cascade did without is in none of them."""
    votes = cast(parts)
    positive = sum(vote.positive for vote in votes)
    abstained = sum(part.verdict is Verdict.INCONCLUSIVE for part in parts)
    counted = sum(part.ended and not part.sat_out for part in parts)
    return VoteCounts(positive, len(votes) - positive, abstained, counted - len(votes) - abstained)


def agreement(counts: VoteCounts) -> Agreement:
    """Return how far the votes are on one side. Fully and partly machine-made are the same side."""
    if counts.cast == 0:
        return Agreement.NONE
    if counts.cast == 1:
        return Agreement.SINGLE
    if 0 in (counts.ai, counts.no_ai):
        return Agreement.UNANIMOUS
    return Agreement.SPLIT if counts.ai == counts.no_ai else Agreement.MAJORITY


def disagree(votes: Sequence[Vote]) -> bool:
    """Return True if there are votes on both sides."""
    return len({vote.positive for vote in votes}) > 1


def short_of_quorum(votes: Sequence[Vote], *, rule: Rule, quorum: int) -> bool:
    """Return True if too few voted to decide anything.

    A cascade's positive also needs the vote of a second vendor, whatever the quorum.
    """
    if len(votes) < quorum:
        return True
    unconfirmed = all(vote.positive for vote in votes) and len({vote.vendor for vote in votes}) < 2  # noqa: PLR2004 - "a second vendor"
    return rule is Rule.CASCADE and unconfirmed


def combine(votes: Sequence[Vote], *, rule: Rule, quorum: int) -> tuple[Verdict, OutcomeReason | None]:
    """Return the one word that these votes, at least one, add up to, and why if it is `inconclusive`.

    Too few votes and votes on both sides never become a pass; only `majority` and `any` pick a side then.
    A cascade settles a split as `consensus` does.
    """
    if short_of_quorum(votes, rule=rule, quorum=quorum):
        return Verdict.INCONCLUSIVE, OutcomeReason.QUORUM_NOT_MET
    positive = [vote for vote in votes if vote.positive]
    lead = 2 * len(positive) - len(votes)
    if len(positive) == len(votes) or (positive and (rule is Rule.ANY or (rule is Rule.MAJORITY and lead > 0))):
        return _extent(positive), None
    if not positive or (rule is Rule.MAJORITY and lead < 0):
        return Verdict.NO_AI_DETECTED, None
    return Verdict.INCONCLUSIVE, OutcomeReason.DETECTOR_DISAGREEMENT


def _extent(positive: Sequence[Vote]) -> Verdict:
    """Return fully machine-made only if more than half of the positive votes say so."""
    full = sum(vote.verdict is Verdict.AI_GENERATED for vote in positive)
    return Verdict.AI_GENERATED if 2 * full > len(positive) else Verdict.AI_PARTIAL
