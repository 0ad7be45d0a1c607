"""The states of a run, of a source and of a certificate, as tables. `docs/states.md` is drawn from them."""

from enum import StrEnum

from service.detectors.enums import RunStatus
from service.kit.machine import Machine


class RunState(StrEnum):
    """The states of a run. Those that wait for a due time are `queued`, `unknown` and `waiting`."""

    SOURCING = "sourcing"  # the audio is still being fetched
    RESERVED = "reserved"  # a cascade has not come to it yet
    QUEUED = "queued"  # to be submitted, or being submitted
    UNKNOWN = "unknown"  # a submission left and no answer came: taken or not, we cannot know
    WAITING = "waiting"  # the vendor has it
    SUCCEEDED = "succeeded"
    NOT_APPLICABLE = "not_applicable"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    SKIPPED = "skipped"

    @property
    def ended(self) -> bool:
        """Return True if nothing waits for it any more. A late answer, or its answer read again, may still move it."""
        return self in _ENDED

    @property
    def has_answer(self) -> bool:
        """Return True if others may take over what the run ended with. After a failure the next asks again."""
        return self in _WITH_ANSWER

    @property
    def status(self) -> RunStatus:
        """The customer's word for it."""
        if self.ended:
            return RunStatus(self.value)
        return RunStatus.RUNNING if self is RunState.WAITING else RunStatus.PENDING


_ENDED = frozenset({RunState.SUCCEEDED, RunState.NOT_APPLICABLE, RunState.FAILED, RunState.TIMED_OUT, RunState.SKIPPED})

_WITH_ANSWER = frozenset({RunState.SUCCEEDED, RunState.NOT_APPLICABLE})


class RunTransition(StrEnum):
    """What can happen to a run."""

    SOURCE_READY = "source_ready"
    ASKED = "asked"  # the cascade has come to it
    DEFERRED = "deferred"  # the vendor, or the way there, says: later
    OUTCOME_UNKNOWN = "lost_sight"  # the submission left and no answer came
    REPEATED = "repeated"  # the one submission after an unknown outcome
    ACCEPTED = "accepted"
    SUCCEEDED = "answer_succeeded"
    NOT_APPLICABLE = "answer_not_applicable"
    FAILED = "answer_failed"
    DEADLINE = "deadline"
    SKIPPED = "skip"
    # the answer that ended it, read again by a mended adapter
    REREAD_SUCCEEDED = "reread_succeeded"
    REREAD_NOT_APPLICABLE = "reread_not_applicable"
    REREAD_FAILED = "reread_failed"


_ANSWERS = {
    RunTransition.SUCCEEDED: RunState.SUCCEEDED,
    RunTransition.NOT_APPLICABLE: RunState.NOT_APPLICABLE,
    RunTransition.FAILED: RunState.FAILED,
}
_REREAD = {
    RunTransition.REREAD_SUCCEEDED: RunState.SUCCEEDED,
    RunTransition.REREAD_NOT_APPLICABLE: RunState.NOT_APPLICABLE,
    RunTransition.REREAD_FAILED: RunState.FAILED,
}
_ALWAYS = {RunTransition.DEADLINE: RunState.TIMED_OUT, RunTransition.SKIPPED: RunState.SKIPPED}

RUN: Machine[RunState, RunTransition] = Machine(
    "a run",
    {
        RunState.SOURCING: {
            RunTransition.SOURCE_READY: RunState.QUEUED,
            **_ALWAYS,
        },
        RunState.RESERVED: {
            RunTransition.ASKED: RunState.QUEUED,
            **_ALWAYS,
        },
        RunState.QUEUED: {
            RunTransition.DEFERRED: RunState.QUEUED,
            RunTransition.OUTCOME_UNKNOWN: RunState.UNKNOWN,
            RunTransition.ACCEPTED: RunState.WAITING,
            **_ANSWERS,
            **_ALWAYS,
        },
        RunState.UNKNOWN: {
            RunTransition.DEFERRED: RunState.UNKNOWN,
            RunTransition.REPEATED: RunState.QUEUED,
            RunTransition.ACCEPTED: RunState.WAITING,
            **_ANSWERS,
            **_ALWAYS,
        },
        RunState.WAITING: {
            RunTransition.DEFERRED: RunState.WAITING,
            **_ANSWERS,
            **_ALWAYS,
        },
        RunState.TIMED_OUT: {**_ANSWERS},  # late, and worth a new revision
        RunState.SUCCEEDED: {**_REREAD},
        RunState.NOT_APPLICABLE: {**_REREAD},
        RunState.FAILED: {**_REREAD},
    },
)
advance = RUN.advance


class SourceState(StrEnum):
    """The states of a source. It is born ready, where the audio was given, or due."""

    DUE = "due"  # to be downloaded, or leased to a worker that does
    READY = "ready"
    FAILED = "failed"
    CANCELLED = "cancelled"


class SourceInput(StrEnum):
    """What can happen to a source."""

    FETCHED = "fetched"
    GIVEN_UP = "given_up"  # tried often enough, or no detector asked takes such audio
    CANCELLED = "cancel"
    ASKED_AGAIN = "asked_again"  # a re-check of a detection whose audio never came


_ASKED_AGAIN = {SourceInput.ASKED_AGAIN: SourceState.DUE}

SOURCE: Machine[SourceState, SourceInput] = Machine(
    "a source",
    {
        SourceState.DUE: {
            SourceInput.FETCHED: SourceState.READY,
            SourceInput.GIVEN_UP: SourceState.FAILED,
            SourceInput.CANCELLED: SourceState.CANCELLED,
            **_ASKED_AGAIN,  # its runs ran out of time while it was still tried
        },
        SourceState.FAILED: _ASKED_AGAIN,
        SourceState.CANCELLED: _ASKED_AGAIN,
    },
)


class CertificateState(StrEnum):
    """The states of a certificate. It is born asking or announced, and dropped where nothing comes of it."""

    ASKING = "asking"  # a request for it is under way until `due_at`
    ANNOUNCED = "announced"  # a callback spoke of it; the vendor is to be asked whether it holds
    READY = "ready"


class CertificateInput(StrEnum):
    """What can happen to a certificate."""

    ISSUED = "issued"  # the vendor was asked for one, and named this one
    HOLDS = "holds"  # the vendor was asked about it, and says that it holds
    PUT_OFF = "put_off"  # the vendor could not be asked, or did not say


CERTIFICATE: Machine[CertificateState, CertificateInput] = Machine(
    "a certificate",
    {
        CertificateState.ASKING: {CertificateInput.ISSUED: CertificateState.READY},
        CertificateState.ANNOUNCED: {
            CertificateInput.ISSUED: CertificateState.READY,  # a callback was quicker than the answer
            CertificateInput.HOLDS: CertificateState.READY,
            CertificateInput.PUT_OFF: CertificateState.ANNOUNCED,
        },
    },
)


class CallbackState(StrEnum):
    """The states of a stored callback, born due or quarantined: `callbacks/states` is the table."""

    DUE = "due"
    PARKED = "parked"  # no run knows it yet
    APPLIED = "applied"
    LATE = "late"
    CONFLICT = "conflict"
    IGNORED = "ignored"
    QUARANTINED = "quarantined"  # rejected, and never looked at again by itself
    STUCK = "stuck"
