"""A run learns what became of the one that it follows. Its leader's end has committed before."""

from service.runs.decide.coalescing import has_answer, join, take_answer
from service.runs.decide.conclusion import conclude, conclude_late
from service.runs.decide.moves import accepts_late_answer, is_ended
from service.runs.decide.workbench import Workbench
from service.runs.inputs import LeaderEnded
from service.runs.state.rows import RunRow
from service.runs.topics import TOPIC_RUNS

_FAIR_SHARE = 0.1


def leader_ended(bench: Workbench, happened: LeaderEnded) -> str:
    """Give the leader's answer to the follower; without one the follower asks, or follows another that does.

    A follower whose time ran out takes a late answer as its leader does.
    """
    run = bench.run(happened.run_id)
    origin = bench.snapshot.origins.get(happened.leader_id)
    if origin is None or run.follows_run_id != happened.leader_id or not is_ended(origin.run):
        return "stale"
    detection, late = bench.detection(run.detection_id), is_ended(run)
    if late and not (has_answer(origin.run) and accepts_late_answer(detection, run)):
        return "ended"
    if has_answer(origin.run) and take_answer(bench, run, origin):
        if late:
            conclude_late(bench, detection)
        else:
            conclude(bench, detection, [run])
        return "answered"
    return "ended" if late else _ask_instead(bench, run)


def _ask_instead(bench: Workbench, run: RunRow) -> str:
    """One with too little time left for an answer is not sent: its deadline ends it, and a late answer reaches it."""
    if not _has_time(bench, run):
        return "out_of_time"
    run.follows_run_id = run.waiting_for = None
    run.due_at = bench.now
    bench.topics.add(TOPIC_RUNS)
    if join(bench, run):
        conclude(bench, bench.detection(run.detection_id), [run])
        return "answered"
    return "leads" if run.leader_key is not None else "follows"


def _has_time(bench: Workbench, run: RunRow) -> bool:
    """Return True if to ask is worth it: until the first look, or a tenth of the time a run usually has."""
    configured = bench.policy.catalogue.configured(run.mode, run.vendor)
    if configured is None:
        return True
    least = min(configured.policy.first_wait(None), configured.policy.deadline * _FAIR_SHARE)
    return (run.deadline_at - bench.now).total_seconds() > least
