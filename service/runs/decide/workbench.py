"""The workbench of one input: copies of the rows that it touches, and what follows from it.

The snapshot stays as it was. If a rule raises, the workbench is thrown away, and nothing has happened.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from service.billing.prices import Basis, BudgetUsage, Charge, Prices
from service.detectors.catalogue import Catalogue
from service.detectors.extensions import AnnouncedCertificate
from service.detectors.port import Raw
from service.events.types import Draft
from service.kit.backoff import Random
from service.runs.load.snapshot import Facts, FactsNeededError, Snapshot
from service.runs.reporting.facts import run_facts
from service.runs.state.rows import DetectionRow, LedgerRow, MediaRow, ObservationRow, RawBodyRow, RevisionRow, RunRow
from service.verdicts.facts import RunFacts


class Policy(Protocol):
    """The surroundings of a decision. A stored answer is taken over for the span of `reuse`."""

    @property
    def catalogue(self) -> Catalogue:
        """The configured vendors."""

    @property
    def random(self) -> Random:
        """The one source of chance: jitter of polls."""

    @property
    def base_url(self) -> str:
        """The address under which customers reach us, for links in results."""

    @property
    def media_retention(self) -> timedelta:
        """The span for which audio is kept after the last detection that needed it."""

    @property
    def prices(self) -> Prices:
        """What submissions cost."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What follows from one input: rows new and changed, events to record, topics to wake.

    `names_known`: runs whose early callbacks can be matched now. `body_copies`: owner, new owner, hash. `settled`:
    ledger rows that the vendor took, or did not. `latest_taken`: runs whose last submission it took after all.
    `followers_moved`: from a leader to its successor. `media_kept` and `media_released`: audio that is needed, or
    that may go then. `outcome` is for the caller.
    """

    outcome: Any = None
    detections: Mapping[str, DetectionRow] = field(default_factory=dict)
    runs: Mapping[str, RunRow] = field(default_factory=dict)
    new_runs: Sequence[RunRow] = ()
    observations: Sequence[ObservationRow] = ()
    raw_bodies: Sequence[RawBodyRow] = ()
    body_copies: Sequence[tuple[str, str, str]] = ()
    revisions: Sequence[RevisionRow] = ()
    drafts: Sequence[Draft] = ()
    topics: frozenset[str] = frozenset()
    names_known: Sequence[str] = ()
    charges: Sequence[LedgerRow] = ()
    settled: Sequence[tuple[int, bool]] = ()
    latest_taken: Sequence[tuple[str, ...]] = ()
    followers_moved: Sequence[tuple[str, str]] = ()
    media_kept: Sequence[str] = ()
    media_released: Mapping[str, datetime] = field(default_factory=dict)
    announced: Sequence[tuple[str, AnnouncedCertificate]] = ()
    facts: Facts | None = None
    budgets: Mapping[tuple[str, str], Mapping[str, BudgetUsage]] | None = None


class Workbench:
    """One input's rows and results, while it is decided on."""

    def __init__(self, snapshot: Snapshot, policy: Policy, now: datetime) -> None:
        self.snapshot = snapshot
        self.policy = policy
        self.now = now
        self._detections: dict[str, DetectionRow] = {}
        self._runs: dict[str, RunRow] = {}
        self._new_runs: list[RunRow] = []
        self._observations: list[ObservationRow] = []
        self._raw_bodies: list[RawBodyRow] = []
        self.body_copies: list[tuple[str, str, str]] = []
        self.revisions: list[RevisionRow] = []
        self.drafts: list[Draft] = []
        self.topics: set[str] = set()
        self.names_known: list[str] = []
        self._charges: list[LedgerRow] = []
        self._settled: list[tuple[int, bool]] = []
        self._latest_taken: list[tuple[str, ...]] = []
        self.followers_moved: list[tuple[str, str]] = []
        self.media_kept: list[str] = []
        self.media_released: dict[str, datetime] = {}
        self.announced: list[tuple[str, AnnouncedCertificate]] = []
        self._ledger = {key: list(rows) for key, rows in snapshot.facts.charges.items()} if snapshot.facts else {}
        self._callbacks: dict[str, tuple[int, int]] = dict(snapshot.facts.callbacks) if snapshot.facts else {}
        self._budgets: dict[tuple[str, str], dict[str, BudgetUsage]] | None = None

    # rows

    def detection(self, detection_id: str) -> DetectionRow:
        """Return the detection, to be changed."""
        if detection_id not in self._detections:
            self._detections[detection_id] = replace(self.snapshot.detections[detection_id])
        return self._detections[detection_id]

    def run(self, run_id: str) -> RunRow:
        """Return the run, to be changed."""
        if run_id not in self._runs:
            self._runs[run_id] = replace(self.snapshot.runs[run_id])
        return self._runs[run_id]

    def runs_of(self, detection: DetectionRow) -> list[RunRow]:
        """Return the detection's runs of its latest round, in the order asked for, to be changed."""
        found = [self.run(run.id) for run in self.snapshot.runs_of(detection.id, detection.round)]
        added = [run for run in self._new_runs if run.detection_id == detection.id and run.round == detection.round]
        return [*found, *added]

    def media_of(self, detection: DetectionRow) -> MediaRow | None:
        """Return the detection's audio, as it was loaded."""
        return self.snapshot.media.get(detection.media_id) if detection.media_id else None

    def add_run(self, run: RunRow) -> None:
        """Add a run that is new."""
        self._new_runs.append(run)
        self._runs[run.id] = run

    # what was seen

    def observe(self, row: ObservationRow, raw: Raw | None) -> int:
        """Add a look or a try, with the vendor's bytes where there are any; return its number."""
        row.n = self._next_n(row.run_id)
        self._observations.append(row)
        if raw is not None:
            digest = hashlib.sha256(raw.body).hexdigest()
            row.body_sha256, row.content_type = digest, raw.content_type or None
            self._raw_bodies.append(RawBodyRow(row.run_id, digest, raw.body, raw.content_type, raw.received_at))
        return row.n

    def _next_n(self, run_id: str) -> int:
        last = max((row.n for row in self._observations if row.run_id == run_id), default=None)
        return (last if last is not None else self.snapshot.last_n.get(run_id, 0)) + 1

    def seen_of(self, run_id: str) -> list[ObservationRow]:
        """Return what was seen of the run, in order. Raise `FactsNeededError` where that was not loaded."""
        if self.snapshot.facts is None:
            raise FactsNeededError
        before = self.snapshot.facts.observations.get(run_id, ())
        return [*before, *(row for row in self._observations if row.run_id == run_id)]

    def facts_of(self, run: RunRow) -> RunFacts:
        """Return what a result is composed of for this run. Raise `FactsNeededError` where that was not loaded."""
        callbacks = self._callbacks.get(run.id, (0, 0))
        return run_facts(run, self.seen_of(run.id), callbacks, [_charge(row) for row in self._ledger.get(run.id, ())])

    def count_callback(self, run_id: str, counts: tuple[int, int]) -> None:
        """Count a callback that is the run's from now on: received, and of those doubled."""
        received, doubled = self._callbacks.get(run_id, (0, 0))
        self._callbacks[run_id] = (received + counts[0], doubled + counts[1])

    # money

    def open_charge(self, row: LedgerRow) -> None:
        """Put on record that a submission may be charged from now on."""
        self._charges.append(row)
        self._ledger.setdefault(row.run_id, []).append(row)
        if row.amount_micros is None or row.currency is None:
            return
        budgets = {key: dict(own) for key, own in (self._budgets or self.snapshot.budgets).items()}
        own = budgets.get((row.account_id, row.mode), {})
        if (usage := own.get(row.currency)) is not None:
            own[row.currency] = replace(usage, spent_micros=usage.spent_micros + row.amount_micros)
            self._budgets = budgets

    def settle(self, charge_id: int | None, *, taken: bool | None) -> None:
        """Put on record that the vendor took that submission, or that it did not; `None` changes nothing."""
        if charge_id is None or taken is None:
            return
        self._settled.append((charge_id, taken))
        for run_id, rows in self._ledger.items():
            kept = [row for row in rows if row.id != charge_id or taken]
            self._ledger[run_id] = [replace(row, billed=True) if row.id == charge_id else row for row in kept]

    def settle_latest(self, run_ids: Sequence[str]) -> None:
        """Put on record that the vendor took the last submission of these runs, as far as anybody can tell."""
        self._latest_taken.append(tuple(run_ids))
        rows = [row for run_id in run_ids for row in self._ledger.get(run_id, ())]
        if rows:
            last = max(rows, key=lambda row: row.id or 0)
            own = self._ledger[last.run_id]
            own[own.index(last)] = replace(last, billed=True)

    # the end

    def decision(self, outcome: Any) -> Decision:
        """Return what follows from the input: rows that stayed as they were are left out."""
        new = {run.id for run in self._new_runs}
        before = self.snapshot.runs
        return Decision(
            outcome=outcome,
            detections={key: row for key, row in self._detections.items() if row != self.snapshot.detections[key]},
            runs={key: row for key, row in self._runs.items() if key in new or row != before[key]},
            new_runs=self._new_runs,
            observations=self._observations,
            raw_bodies=self._raw_bodies,
            body_copies=self.body_copies,
            revisions=self.revisions,
            drafts=self.drafts,
            topics=frozenset(self.topics),
            names_known=self.names_known,
            charges=self._charges,
            settled=self._settled,
            latest_taken=self._latest_taken,
            followers_moved=self.followers_moved,
            media_kept=self.media_kept,
            media_released=self.media_released,
            announced=self.announced,
            facts=self._facts(),
            budgets=self._budgets,
        )

    def _facts(self) -> Facts | None:
        """Return what was loaded, and what this input added to it."""
        known = self.snapshot.facts
        if known is None:
            return None
        observations = dict(known.observations)
        for row in self._observations:
            observations[row.run_id] = (*observations.get(row.run_id, ()), row)
        charges = {run_id: tuple(rows) for run_id, rows in self._ledger.items()}
        return Facts(observations, self._callbacks, charges)


def _charge(row: LedgerRow) -> Charge:
    return Charge(row.amount_micros, row.currency, Basis(row.basis), row.billed, row.kind == "possible_duplicate")
