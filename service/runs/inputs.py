"""What can happen to a detection or a run, each as one small value. An input carries what it needs, never a session.

A vendor's answer is read before its input is made: reading needs no database, and no lock is held meanwhile.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from service.detectors.enums import Authenticity, ReasonCode, Via
from service.detectors.extensions import AnnouncedCertificate
from service.detectors.port import Accepted, Prepared, Raw, Refused
from service.detectors.reading import Reading
from service.runs.state.lifecycle import CallbackState
from service.verdicts.votes import OutcomeReason


class SubmissionStep(StrEnum):
    """What a request was to do: put the audio at the vendor's, or start the analysis, which is billed."""

    PREPARE = "prepare"
    SUBMIT = "submit"


class SubmissionOutcome(StrEnum):
    """The course of one try to submit."""

    ACCEPTED = "accepted"
    ANSWERED = "answered"  # at once, with what was asked for
    REFUSED = "refused"  # for good
    DEFERRED = "deferred"  # a whole answer that says: later
    NOT_SENT = "not_sent"
    UNKNOWN = "unknown"  # it left, and no whole answer came, or none that can be read


@dataclass(frozen=True, slots=True)
class SubmissionAttempt:
    """One try. `left_at` is `None` where nothing could begin to leave; `raw` is the answer, where one came whole.

    `beside` is what that answer says beside what it was asked for.
    """

    outcome: SubmissionOutcome
    left_at: datetime | None = None
    step: SubmissionStep = SubmissionStep.SUBMIT
    raw: Raw | None = None
    beside: Reading | None = None


@dataclass(frozen=True, slots=True)
class VendorAnswer:
    """What a vendor said of a run. `parsed` is what the adapter made of `raw`."""

    via: Via
    raw: Raw
    parsed: Reading | Refused
    authenticity: Authenticity
    callback_id: str | None = None
    confirmed_by_fetch: bool = False


@dataclass(frozen=True, slots=True)
class RunInput:
    """Something that happens to one run."""

    run_id: str


@dataclass(frozen=True, slots=True)
class LeasedInput(RunInput):
    """Something that the holder of the run's lease reports. Without the lease it is `lease_lost`, or kept as late."""

    lease_token: str


@dataclass(frozen=True, slots=True)
class Uploaded(LeasedInput):
    """The first of two steps is done; its reference is never made again."""

    prepared: Prepared


@dataclass(frozen=True, slots=True)
class Leaving(LeasedInput):
    """A submission is about to leave: committed before it does.

    Its gate, by mode and vendor, was charged at `claimed_at`.
    """

    lease_until: datetime
    claimed_at: datetime | None = None
    gate: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class OverBudget(LeasedInput):
    """Before an upload it was found that the account may not pay for the run."""


@dataclass(frozen=True, slots=True)
class NotTaken(LeasedInput):
    """The vendor's documents say that it does not take such audio; nothing leaves."""

    reason: ReasonCode
    text: str


@dataclass(frozen=True, slots=True)
class VendorAccepted(LeasedInput):
    """The vendor has the run as a job. `charge_id` is the ledger's row of this submission."""

    accepted: Accepted
    attempt: SubmissionAttempt
    charge_id: int | None = None


@dataclass(frozen=True, slots=True)
class AnsweredAtOnce(LeasedInput):
    """Apply an answer to the submission: a verdict, a refusal of the track, or a final failure.

    `taken`: the vendor took it, so it is paid for; `None`: that cannot be known.
    """

    answer: VendorAnswer
    attempt: SubmissionAttempt
    charge_id: int | None = None
    taken: bool | None = None


@dataclass(frozen=True, slots=True)
class Deferred(LeasedInput):
    """A try that was not taken, as far as the vendor says; the same request leaves again later.

    `taken`: what the ledger is to say of it; `None`: that cannot be known.
    """

    refused: Refused
    attempt: SubmissionAttempt
    charge_id: int | None = None
    taken: bool | None = False


@dataclass(frozen=True, slots=True)
class OutcomeUnknown(LeasedInput):
    """The submission left; whether the vendor took it is not known.

    `attempt` is there where an answer came that cannot be read, with what was made of it in `refused`.
    """

    why: str
    attempt: SubmissionAttempt | None = None
    refused: Refused | None = None
    charge_id: int | None = None


@dataclass(frozen=True, slots=True)
class PartialAnswer(LeasedInput):
    """A part of an answer that is still coming. It moves nothing."""

    answer: VendorAnswer


@dataclass(frozen=True, slots=True)
class GivenUp(LeasedInput):
    """The run was claimed for submission at its deadline."""


@dataclass(frozen=True, slots=True)
class Released(LeasedInput):
    """The claim is given back before its lease ends: nothing has left, and another may go on at once."""


@dataclass(frozen=True, slots=True)
class PollReleased(LeasedInput):
    """The claim of a poll is given back, as if it had not been made."""

    confirms: bool


@dataclass(frozen=True, slots=True)
class Polled(LeasedInput):
    """The vendor was asked how far the run is; `answer` is `None` where nothing whole came."""

    polled_at: datetime
    confirms: bool
    answer: VendorAnswer | None = None


@dataclass(frozen=True, slots=True)
class CallbackReceived(RunInput):
    """A stored callback speaks of this run, or of a certificate of its answer.

    `counts` are what it adds to the run's callbacks: received, doubled.
    """

    callback_id: str
    received_at: datetime
    job_id: str | None
    answer: VendorAnswer | None
    by_name: bool = False  # only its unsigned body says whose it is
    announced: AnnouncedCertificate | None = None  # the certificate it speaks of
    certificate_known: bool = False
    counts: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class DeadlinePassed(RunInput):
    """The run's time ended a while ago, and no worker has ended it."""


@dataclass(frozen=True, slots=True)
class LeaderEnded(RunInput):
    """The run that this one follows has ended, or has been answered late."""

    leader_id: str


@dataclass(frozen=True, slots=True)
class DetectionInput:
    """Something that happens to a whole detection."""

    detection_id: str


@dataclass(frozen=True, slots=True)
class SourceReady(DetectionInput):
    """The audio is there."""

    lease_token: str
    media_id: str


@dataclass(frozen=True, slots=True)
class SourceFailed(DetectionInput):
    """A download failed. `retryable`: a later one may do better."""

    lease_token: str
    reason: OutcomeReason
    retryable: bool


@dataclass(frozen=True, slots=True)
class SourceReleased(DetectionInput):
    """A download was given back before its end, and is due again at `due_at`; it was no try."""

    lease_token: str
    due_at: datetime


@dataclass(frozen=True, slots=True)
class DelayDue(DetectionInput):
    """Nine tenths of the time in which the answer is wanted have passed."""


@dataclass(frozen=True, slots=True)
class Asked(DetectionInput):
    """The detection is new, its audio at hand: its runs join those that ask the same."""


@dataclass(frozen=True, slots=True)
class AskedAgain(DetectionInput):
    """Every detector is to be asked again. `run_ids` are the names of the new round's runs, one for each detector."""

    run_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cancelled(DetectionInput):
    """The customer calls the detection off."""


@dataclass(frozen=True, slots=True)
class Reread:
    """One run's stored answer, as it is read today."""

    parsed: Reading | Refused
    seen_n: int


@dataclass(frozen=True, slots=True)
class ReadAgain(DetectionInput):
    """Stored answers mean something else to the adapters of today; by run."""

    answers: Mapping[str, Reread] = field(default_factory=dict)


Input = RunInput | DetectionInput


@dataclass(frozen=True, slots=True)
class Begun:
    """A submission may leave: since when that is on record, and the ledger's row by which it is settled."""

    charge_id: int
    left_at: datetime


@dataclass(frozen=True, slots=True)
class CallbackEnd:
    """The state that a callback is in, its run, and a note. `erase`: nothing of its words may stay."""

    state: CallbackState
    run_id: str | None = None
    note: str | None = None
    erase: bool = False
