"""What a batch of inputs is decided on: rows as they were loaded and locked, and what was asked beside them.

Deciding never asks the database. Facts that only some decisions need (what was seen of a run, what it cost) are left
out at first: a decision that needs them says so, they are loaded, and the whole batch is decided again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from service.billing.prices import BudgetUsage
from service.detectors.enums import Via
from service.detectors.latency import Latency
from service.runs.state.lifecycle import RunState
from service.runs.state.rows import DetectionRow, LedgerRow, MediaRow, ObservationRow, RunRow

if TYPE_CHECKING:
    from service.runs.decide.workbench import Decision

DedupKey = tuple[str, str, str]
"""Account, mode, and the key that runs have in common which ask the same."""
_NONE: Mapping[Any, Any] = MappingProxyType({})


class FactsNeededError(Exception):
    """A result is to be composed, and the snapshot was loaded without what that takes."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What results are composed of, by run: looks, callbacks (received, doubled), and what submissions cost."""

    observations: Mapping[str, tuple[ObservationRow, ...]]
    callbacks: Mapping[str, tuple[int, int]]
    charges: Mapping[str, tuple[LedgerRow, ...]]


@dataclass(frozen=True, slots=True)
class Origin:
    """A run whose answer others may take over, and the look that decided it; `None` if that was erased."""

    run: RunRow
    seen: ObservationRow | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was loaded. Runs are all of their detections', of every round.

    `successors`: by a run that was replaced, the one that goes on with its work. `last_n`: the number of each run's
    last observation. `led`: the runs with followers, and the oldest open one of each, if that is locked too.
    `taken_jobs`: by mode, vendor and job, whose it is. `budgets` are by account and mode, then currency.
    """

    detections: Mapping[str, DetectionRow]
    runs: Mapping[str, RunRow]
    media: Mapping[str, MediaRow] = field(default_factory=dict)
    successors: Mapping[str, str] = field(default_factory=dict)
    last_n: Mapping[str, int] = field(default_factory=dict)
    led: Mapping[str, str | None] = field(default_factory=dict)
    leaders: Mapping[DedupKey, str] = field(default_factory=dict)
    answers: Mapping[DedupKey, Origin] = field(default_factory=dict)
    origins: Mapping[str, Origin] = field(default_factory=dict)
    taken_jobs: Mapping[tuple[str, str, str], str] = field(default_factory=dict)
    latencies: Mapping[tuple[str, str], Latency] = field(default_factory=dict)
    budgets: Mapping[tuple[str, str], Mapping[str, BudgetUsage]] = field(default_factory=dict)
    announced: Mapping[str, int] = field(default_factory=dict)
    facts: Facts | None = None

    def runs_of(self, detection_id: str, number: int) -> list[RunRow]:
        """Return the runs of one round, in the order asked for."""
        found = [run for run in self.runs.values() if run.detection_id == detection_id and run.round == number]
        return sorted(found, key=lambda run: run.position)

    def after(self, decision: "Decision") -> "Snapshot":
        """Return what is to be decided on next: as it will be once this decision is saved."""
        runs = {**self.runs, **decision.runs}
        last_n = dict(self.last_n)
        for row in decision.observations:
            last_n[row.run_id] = row.n
        taken = dict(self.taken_jobs)
        for run in decision.runs.values():
            if run.vendor_job_id is not None:
                taken[run.mode, run.vendor, run.vendor_job_id] = run.id
        announced = dict(self.announced)
        for run_id, _ in decision.announced:
            announced[run_id] = announced.get(run_id, 0) + 1
        return replace(
            self,
            announced=announced,
            detections={**self.detections, **decision.detections},
            runs=runs,
            last_n=last_n,
            led={**_led_in(decision), **self.led},
            leaders=self._leaders_after(decision),
            answers={**self.answers, **_answers_in(decision)},
            taken_jobs=taken,
            budgets=decision.budgets if decision.budgets is not None else self.budgets,
            facts=decision.facts,
        )

    def _leaders_after(self, decision: "Decision") -> dict[DedupKey, str]:
        given_up = {run.id for run in decision.runs.values() if run.leader_key is None}
        leaders = {key: run_id for key, run_id in self.leaders.items() if run_id not in given_up}
        for run in decision.runs.values():
            if run.leader_key is not None:
                leaders[run.account_id, run.mode, run.leader_key] = run.id
        return leaders


def _led_in(decision: "Decision") -> dict[str, str]:
    """Return the leaders that runs have joined here, each with its first new follower."""
    led: dict[str, str] = {}
    for run in decision.runs.values():
        if run.follows_run_id is not None and run.ended_at is None:
            led.setdefault(run.follows_run_id, run.id)
    return led


def _answers_in(decision: "Decision") -> dict[DedupKey, Origin]:
    """Return the answers that vendors gave here, for runs that come to ask the same in this very batch."""
    seen = {(row.run_id, row.n): row for row in decision.observations}
    answers: dict[DedupKey, Origin] = {}
    for run in decision.runs.values():
        deciding = seen.get((run.id, run.observation_n or 0))
        is_own = deciding is not None and deciding.via != Via.REUSE.value
        if run.dedup_key and is_own and RunState(run.state).has_answer:
            answers[run.account_id, run.mode, run.dedup_key] = Origin(run, deciding)
    return answers
