"""The small moves: of a run to its next state or its end, of a source to its next state."""

from datetime import datetime, timedelta

from service.detectors.port import Refused
from service.runs.decide.workbench import Workbench
from service.runs.state.lifecycle import SOURCE, RunState, RunTransition, SourceInput, SourceState, advance
from service.runs.state.rows import DetectionRow, RunRow
from service.runs.topics import TOPIC_FOLLOWERS
from service.verdicts.verdict import DetectionStatus


def move(run: RunRow, happening: RunTransition, due_at: datetime) -> None:
    """Put the run in its next state, unclaimed, and due again at `due_at` or at its deadline if that is earlier."""
    run.state = advance(RunState(run.state), happening).value
    run.due_at = min(due_at, run.deadline_at)
    run.lease_token = None


def defer(run: RunRow, refused: Refused, wait: float, now: datetime) -> None:
    """Let the run wait, visibly, at least `wait` seconds or as long as the vendor said."""
    run.last_refusal = refused.reason_code.value
    run.waiting_for = refused.reason_code.value
    run.reason_text = refused.reason_text
    move(run, RunTransition.DEFERRED, now + timedelta(seconds=max(wait, refused.retry_after_seconds or 0)))


def end_run(bench: Workbench, run: RunRow, happening: RunTransition) -> None:
    """End the run: nothing waits for it any more. What follows is `conclude`'s.

    Runs that follow it learn of it once this end has committed.
    """
    run.state = advance(RunState(run.state), happening).value
    run.ended_at = bench.now
    run.due_at = None
    run.lease_token = None
    run.leader_key = None
    run.waiting_for = None
    tell_followers(bench, run)


def tell_followers(bench: Workbench, run: RunRow) -> None:
    """Make it due that the run's followers, if it has any, learn what became of it."""
    if run.id in bench.snapshot.led and run.successor_run_id is None:
        # A time of its own each time, so that it is not taken for the last news.
        last = run.followers_due_at
        run.followers_due_at = bench.now if last is None else max(bench.now, last + timedelta(microseconds=1))
        bench.topics.add(TOPIC_FOLLOWERS)


def move_source(detection: DetectionRow, happening: SourceInput) -> None:
    """Put the detection's source in its next state. Raise `InvalidTransitionError` where its table has none."""
    detection.source_state = SOURCE.advance(SourceState(detection.source_state), happening).value


def is_due(detection: DetectionRow) -> bool:
    """Return True if the detection's audio is still to be fetched."""
    return detection.source_state == SourceState.DUE.value


def is_ended(run: RunRow) -> bool:
    """Return True if the run has ended; a late answer, or its answer read again, may still move it."""
    return RunState(run.state).ended


def accepts_late_answer(detection: DetectionRow, run: RunRow) -> bool:
    """Return True if a late answer would count: the run's time ran out, and nothing was decided over it since."""
    return (
        run.state == RunState.TIMED_OUT.value
        and run.round == detection.round
        and detection.status != DetectionStatus.CANCELLED.value
        and detection.erased_at is None
    )


def drop_late_polls(runs: list[RunRow]) -> None:
    """No ended run among these is looked at any more: its late answer would not count."""
    for run in runs:
        if is_ended(run):
            run.due_at = None
            run.lease_token = None


def held(bench: Workbench, run_id: str, lease_token: str, *, late: bool = False) -> RunRow | None:
    """Return the run if the lease is still the caller's; else `None`, and nothing may be written.

    An ended run has no lease; only a look at it that may come `late` holds one whose late answer would count.
    """
    run = bench.run(resolved(bench, run_id))
    open_ = not is_ended(run) or (late and accepts_late_answer(bench.detection(run.detection_id), run))
    return run if open_ and run.lease_token == lease_token else None


def held_unsent(bench: Workbench, run_id: str, lease_token: str) -> RunRow | None:
    """Return the run if the lease is still the caller's and a submission may leave; else `None`.

    One whose job is known is at its vendor already: what would leave now would be a second submission.
    """
    run = held(bench, run_id, lease_token)
    if run is None or run.vendor_job_id is not None:
        return None
    return run if run.state in (RunState.QUEUED.value, RunState.UNKNOWN.value) else None


def resolved(bench: Workbench, run_id: str) -> str:
    """Return the run that goes on with this one's work, or the run itself."""
    while (successor := bench.run(run_id).successor_run_id) is not None:
        run_id = successor
    return run_id
