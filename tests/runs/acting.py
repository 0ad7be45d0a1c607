"""What tests do to runs by hand: a rule of their choice on a run, between the load and the save of a real step."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlmodel import Session

from service.runs.decide import answers
from service.runs.decide.moves import resolved
from service.runs.decide.rules import endings
from service.runs.decide.workbench import Workbench
from service.runs.followers import leaders_due, tell_slice
from service.runs.inputs import DeadlinePassed, VendorAnswer
from service.runs.load.load import load
from service.runs.policy import DetectionPolicy
from service.runs.save import save
from service.runs.state.rows import RunRow
from service.runs.step import is_loaded


def act(
    session: Session, run_id: str, rule: Callable[[Workbench, RunRow], Any], policy: DetectionPolicy, now: datetime
) -> Any:
    """What `rule` returned for the run; saved, and its followers told."""
    touched = DeadlinePassed(run_id)
    while not is_loaded(before := load(session, [touched], policy, now, wait=True, facts=True), touched):
        pass  # another run took its place a moment ago
    bench = Workbench(before, policy, now)
    outcome = rule(bench, bench.run(resolved(bench, run_id)))
    save(session, before, [bench.decision(outcome)], policy, now)
    session.expire_all()
    tell_followers(session, policy, now)
    return outcome


def observe(session: Session, run_id: str, answer: VendorAnswer, policy: DetectionPolicy, now: datetime) -> Any:
    """The run after this answer; whether it counted."""
    return act(session, run_id, lambda bench, run: answers.observe(bench, run, answer), policy, now)


def expire(session: Session, run_id: str, policy: DetectionPolicy, now: datetime) -> None:
    """The run's time is up."""
    act(session, run_id, endings.expire_run, policy, now)


def tell_followers(session: Session, policy: DetectionPolicy, now: datetime) -> None:
    """Every run knows what became of the one that it follows."""
    while leaders := leaders_due(session):
        for leader_id, since in leaders.items():
            after: str | None = ""
            while after is not None:
                after = tell_slice(session, leader_id, since, after, policy, now)
    session.expire_all()
