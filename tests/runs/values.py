"""Detections as plain values: what stands in the tables, and what inputs make of it, without a database.

A `Life` is what `load` would read and `save` would write. Each input makes a further one and leaves the old as it was,
so that many may go on from the same.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from service.detectors.enums import Authenticity, Via
from service.detectors.port import Raw
from service.events.types import Draft
from service.kit.errors import CallerError
from service.runs.decide import decide
from service.runs.decide.workbench import Decision
from service.runs.inputs import CallbackReceived, Input, VendorAnswer
from service.runs.load.snapshot import DedupKey, Facts, Origin, Snapshot
from service.runs.policy import DetectionPolicy
from service.runs.state.lifecycle import CallbackState, RunState
from service.runs.state.rows import DetectionRow, LedgerRow, MediaRow, ObservationRow, RawBodyRow, RevisionRow, RunRow
from tests.detections.rows import policy_of
from tests.detections.scripted import NOW, aippim, asc, said

POLICY = policy_of(asc(), aippim())
MEDIA = MediaRow("med_1", "acc_1", "live", "5" * 64, "song.wav", 1000, "wav", "audio/wav", 60_000)
_DETECTION = DetectionRow(
    id="det_1",
    account_id="acc_1",
    mode="live",
    created_at=NOW,
    rule="consensus",
    quorum=1,
    status="queued",
    answer_by_at=NOW + timedelta(seconds=900),
    deadline_at=NOW + timedelta(seconds=3600),
    source_name="song.wav",
    source_state="ready",
    media_id="med_1",
)
_RUN = RunRow(
    id="run_1",
    detection_id="det_1",
    position=0,
    account_id="acc_1",
    mode="live",
    vendor="asc",
    detector="asc",
    state="queued",
    created_at=NOW,
    deadline_at=NOW + timedelta(seconds=3600),
    due_at=NOW,
)


_BARE: dict[str, Any] = {
    "reason_text": None,
    "refs_json": "{}",
    "dedup_key": None,
    "due_at": None,
    "lease_token": None,
}


def detection_row(**changes: Any) -> DetectionRow:
    """A new detection whose audio is there, but for these values."""
    return replace(_DETECTION, **changes)


def run_row(**changes: Any) -> RunRow:
    """A run that is queued, but for these values."""
    return replace(_RUN, **changes)


def answer(word: str, via: Via = Via.POLL, raw: Raw | None = None, **more: Any) -> VendorAnswer:
    """What the scripted vendor's answer of this word is read as."""
    heard = raw or said(word)
    proved = Authenticity.URL_TOKEN if via is Via.CALLBACK else Authenticity.TLS_FETCH
    return VendorAnswer(via, heard, asc().read(heard, "asc"), proved, **more)


@dataclass(frozen=True)
class Outcome:
    """What an input came to, and when."""

    happened: Input
    at: datetime
    outcome: Any


@dataclass(frozen=True)
class Life:
    """What stands in the tables; and of each input its outcome, with the states of runs that it moved."""

    detections: Mapping[str, DetectionRow]
    runs: Mapping[str, RunRow]
    seen: tuple[ObservationRow, ...] = ()
    bodies: tuple[RawBodyRow, ...] = ()
    revisions: tuple[RevisionRow, ...] = ()
    drafts: tuple[Draft, ...] = ()
    ledger: tuple[LedgerRow, ...] = ()
    callbacks: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    parked: tuple[CallbackReceived, ...] = ()
    named: tuple[str, ...] = ()
    opened: int = 0
    outcomes: tuple["Outcome", ...] = ()
    moves: tuple[tuple[RunState, RunState], ...] = ()
    policy: DetectionPolicy = POLICY

    def put(self, happened: Input, now: datetime) -> "Life":
        """Return what stands after this input, and after the parked callbacks that it let come again."""
        known = len(self.named)
        after = self.decided(happened, now)
        return after.matched(after.named[known:], now)

    def decided(self, happened: Input, now: datetime) -> "Life":
        """Return what stands after this input. What a caller may not ask for changes nothing but the outcomes."""
        try:
            decision = decide(self.loaded(), happened, self.policy, now)
        except CallerError as error:
            return replace(self, outcomes=(*self.outcomes, Outcome(happened, now, error)))
        return self.saved(decision, Outcome(happened, now, decision.outcome))

    def matched(self, names_known: Sequence[str], now: datetime) -> "Life":
        """Return what stands once parked callbacks have come again, of runs that learned a name."""
        learned = {run_id: self.runs[run_id].vendor_job_id for run_id in names_known}
        waiting = [each for each in self.parked if each.run_id in learned or each.job_id in learned.values()]
        life = replace(self, parked=tuple(each for each in self.parked if each not in waiting))
        for each in waiting:
            life = life.put(replace(each, counts=(0, 0)), now)
        return life

    def altered(self, run_id: str, **values: Any) -> "Life":
        """Return the same with this run's values changed, as a claim changes them."""
        return replace(self, runs={**self.runs, run_id: replace(self.runs[run_id], **values)})

    def erased(self, detection_id: str, now: datetime) -> "Life":
        """Return the same without a word of the detection's, as erasing it leaves it."""
        ids = {run.id for run in self.runs.values() if run.detection_id == detection_id}
        detection = replace(self.detections[detection_id], erased_at=now, source_name="audio")
        return replace(
            self,
            detections={**self.detections, detection_id: detection},
            runs={key: replace(run, **_BARE) if key in ids else run for key, run in self.runs.items()},
            bodies=tuple(row for row in self.bodies if row.owner_id not in ids),
            seen=tuple(replace(row, reading=None, reason_text=None) if row.run_id in ids else row for row in self.seen),
        )

    def loaded(self) -> Snapshot:
        """Return what would be loaded of it."""
        runs = self.runs.values()
        origins = {run.id: self._origin(run) for run in runs if RunState(run.state).ended}
        return Snapshot(
            self.detections,
            self.runs,
            media={MEDIA.id: MEDIA},
            successors={run.id: run.successor_run_id for run in runs if run.successor_run_id is not None},
            last_n=self._last_numbers(),
            led=self._led(),
            leaders={_key(run): run.id for run in runs if run.leader_key is not None},
            answers={_key(each.run): each for each in origins.values() if _may_be_shared(each.run)},
            origins=origins,
            taken_jobs={
                (run.mode, run.vendor, run.vendor_job_id): run.id for run in runs if run.vendor_job_id is not None
            },
            facts=Facts(
                {run.id: tuple(row for row in self.seen if row.run_id == run.id) for run in runs},
                self.callbacks,
                {run.id: tuple(row for row in self.ledger if row.run_id == run.id) for run in runs},
            ),
        )

    def saved(self, decision: Decision, *outcomes: Outcome) -> "Life":
        """Return what stands once this decision is saved."""
        opened = self.opened + len(decision.charges)
        charges = [replace(row, id=self.opened + n) for n, row in enumerate(decision.charges, 1)]
        moves = [
            (RunState(self.runs[key].state), RunState(row.state))
            for key, row in decision.runs.items()
            if key in self.runs and self.runs[key].state != row.state
        ]
        return replace(
            self,
            detections={**self.detections, **decision.detections},
            runs={**self.runs, **decision.runs},
            seen=(*self.seen, *decision.observations),
            bodies=(*self.bodies, *decision.raw_bodies),
            revisions=(*self.revisions, *decision.revisions),
            drafts=(*self.drafts, *decision.drafts),
            ledger=_settled((*self.ledger, *charges), decision),
            callbacks=decision.facts.callbacks if decision.facts else self.callbacks,
            named=(*self.named, *decision.names_known),
            parked=(*self.parked, *_parked(outcomes)),
            opened=opened,
            outcomes=(*self.outcomes, *outcomes),
            moves=(*self.moves, *moves),
        )

    def _last_numbers(self) -> dict[str, int]:
        return {row.run_id: row.n for row in self.seen}

    def _led(self) -> dict[str, str | None]:
        led: dict[str, str | None] = {}
        for run in sorted(self.runs.values(), key=lambda run: run.id, reverse=True):
            if run.follows_run_id is not None and run.ended_at is None:
                led[run.follows_run_id] = run.id
            elif run.follows_run_id is not None and run.state == RunState.TIMED_OUT.value:
                led.setdefault(run.follows_run_id, None)
        return led

    def _origin(self, run: RunRow) -> Origin:
        deciding = (row for row in self.seen if (row.run_id, row.n) == (run.id, run.observation_n))
        return Origin(run, next(deciding, None))


def _parked(outcomes: Sequence[Outcome]) -> Iterator[CallbackReceived]:
    for each in outcomes:
        if isinstance(each.happened, CallbackReceived) and each.outcome.state is CallbackState.PARKED:
            yield each.happened


def _key(run: RunRow) -> DedupKey:
    return run.account_id, run.mode, run.dedup_key or ""


def _may_be_shared(run: RunRow) -> bool:
    return run.dedup_key is not None and run.via != Via.REUSE.value and run.state in ("succeeded", "not_applicable")


def _settled(ledger: tuple[LedgerRow, ...], decision: Decision) -> tuple[LedgerRow, ...]:
    taken = {number for number, was_taken in decision.settled if was_taken}
    dropped = {number for number, was_taken in decision.settled if not was_taken}
    for run_ids in decision.latest_taken:
        taken |= {max((row.id or 0 for row in ledger if row.run_id in run_ids), default=0)}
    kept = (row for row in ledger if row.id not in dropped)
    return tuple(replace(row, billed=True) if row.id in taken else row for row in kept)
