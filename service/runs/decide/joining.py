"""One vendor asked once for what several detections want to know: a run takes a stored answer, follows, or leads."""

import json

from service.detectors.enums import Via
from service.runs.decide.moves import end_run
from service.runs.decide.workbench import Workbench
from service.runs.dedup_key import dedup_key, shares
from service.runs.load.snapshot import Origin
from service.runs.state.lifecycle import RunState, RunTransition
from service.runs.state.rows import DetectionRow, MediaRow, ObservationRow, RunRow

FOLLOWING = "following"
"""What a run waits for that another run asks for."""

_ANSWERS = {
    RunState.SUCCEEDED.value: RunTransition.SUCCEEDED,
    RunState.NOT_APPLICABLE.value: RunTransition.NOT_APPLICABLE,
}


def has_answer(run: RunRow) -> bool:
    """Return True if it ended with something that others may take over."""
    return RunState(run.state).has_answer


def join_runs(bench: Workbench, detection: DetectionRow, media: MediaRow, runs: list[RunRow]) -> list[RunRow]:
    """Let each queued run join those that ask the same, now that the bytes are known; return those that ended."""
    for run in runs:
        run.dedup_key = dedup_key(detection, run, media.sha256)
    if not shares(detection):
        return []
    queued = [run for run in runs if run.state == RunState.QUEUED.value]
    return [run for run in queued if join(bench, run)]


def join(bench: Workbench, run: RunRow) -> bool:
    """End the queued run with a stored answer: true. Else let it follow the run under way, or be followed."""
    if run.dedup_key is None:
        return False
    key = (run.account_id, run.mode, run.dedup_key)
    origin = bench.snapshot.answers.get(key)
    if origin is not None and origin.run.id != run.id and take_answer(bench, run, origin):
        return True
    leader_id = bench.snapshot.leaders.get(key)
    if leader_id is None or leader_id == run.id:
        run.leader_key = run.dedup_key
    else:
        _follow(bench, run, leader_id)
    return False


def _follow(bench: Workbench, run: RunRow, leader_id: str) -> None:
    """Make the run a follower: it is never sent and never polled, and only its own deadline makes it due."""
    run.follows_run_id = leader_id
    run.followed_at = run.followed_at or bench.now
    run.refs_json = json.dumps(json.loads(run.refs_json) | {"followed_run_id": leader_id})
    run.waiting_for = FOLLOWING
    run.due_at = run.deadline_at


def take_answer(bench: Workbench, run: RunRow, origin: Origin) -> bool:
    """End the run with the answer of `origin`, and a copy of its own. False if that was erased.

    `answered_at` is when the vendor's answer came, also if that was before this run was asked for.
    """
    seen, leader = origin.seen, origin.run
    if seen is None or seen.reading is None:
        return False
    happening = _ANSWERS[leader.state]
    row = ObservationRow(
        run_id=run.id,
        n=0,
        via=Via.REUSE.value,
        at=bench.now,
        effect=happening.value,
        reading=seen.reading,
        body_sha256=seen.body_sha256,
        content_type=seen.content_type,
    )
    run.observation_n = bench.observe(row, None)
    if seen.body_sha256 is not None:
        bench.body_copies.append((seen.run_id, run.id, seen.body_sha256))
    run.via = Via.REUSE.value
    run.authenticity = leader.authenticity
    run.confirmed_by_fetch = leader.confirmed_by_fetch
    run.answered_at = leader.answered_at
    run.reason_code, run.reason_text, run.retryable = leader.reason_code, leader.reason_text, leader.retryable
    run.refs_json = json.dumps(json.loads(run.refs_json) | {"reused_run_id": leader.id})
    end_run(bench, run, happening)
    return True
