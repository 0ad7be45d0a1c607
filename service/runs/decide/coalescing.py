"""Runs that share one answer: joining a leader, and who leads when it goes."""

import json

from service.detectors.enums import Via
from service.runs.decide.moves import end_run, is_ended
from service.runs.decide.workbench import Workbench
from service.runs.dedup_key import dedup_key, shares
from service.runs.load.snapshot import Origin
from service.runs.state.lifecycle import RunState, RunTransition
from service.runs.state.rows import DetectionRow, MediaRow, ObservationRow, RunRow
from service.runs.topics import topic_of
from service.verdicts.verdict import DetectionStatus

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


# What is known of a run's way to its vendor and of our polling. The holder of the lease goes on with the successor.
_WORK = (
    "state",
    "due_at",
    "lease_token",
    "throttled_at",
    "prepared_ref",
    "submit_started_at",
    "submitted_at",
    "submit_tries",
    "refusals",
    "resubmitted",
    "media_fetches",
    "polls",
    "confirmations",
    "polled_at",
    "confirmation_requested_at",
    "callback_authenticity",
    "reason_text",
    "waiting_for",
    "last_refusal",
)


def transfer_leadership(bench: Workbench, run: RunRow) -> None:
    """Let the oldest follower go on with the run's work, its job included, and the others follow that one.

    Without followers nothing changes. The run is about to end, and keeps a note of its job.
    """
    successor_id = bench.snapshot.led.get(run.id) if run.leader_key is not None else None
    if successor_id is None:
        return
    successor = bench.run(successor_id)
    if is_ended(successor) or successor.follows_run_id != run.id:
        return
    _move_keys(run, successor)
    for name in _WORK:
        setattr(successor, name, getattr(run, name))
    if successor.lease_token is None and successor.due_at is not None:
        successor.due_at = min(successor.due_at, successor.deadline_at)
    successor.follows_run_id = None
    successor.submitted_as_run_id = run.submitted_as_run_id or run.id
    bench.followers_moved.append((run.id, successor.id))
    _move_followers(bench, run, successor)
    _note_status(bench, successor)


def _move_followers(bench: Workbench, run: RunRow, successor: RunRow) -> None:
    """Let the others that follow the run, as far as they were loaded, follow its successor."""
    for other in bench.snapshot.runs.values():
        if other.follows_run_id == run.id and other.ended_at is None and other.id != successor.id:
            bench.run(other.id).follows_run_id = successor.id


def _move_keys(run: RunRow, successor: RunRow) -> None:
    """Return the two keys that only one run may have. Saving takes them from one run before the other has them."""
    job_id, refs = run.vendor_job_id, json.loads(run.refs_json)
    successor.leader_key, successor.vendor_job_id = run.leader_key, job_id
    run.leader_key = run.vendor_job_id = None
    run.successor_run_id = successor.id
    note = {"handed_to_run_id": successor.id} | ({"handed_job_id": job_id} if job_id else {})
    run.refs_json = json.dumps(refs | note, ensure_ascii=False)
    successor.refs_json = json.dumps(refs | json.loads(successor.refs_json), ensure_ascii=False)


def _note_status(bench: Workbench, successor: RunRow) -> None:
    detection = bench.detection(successor.detection_id)
    if successor.submit_started_at is not None and detection.status == DetectionStatus.QUEUED.value:
        detection.status = DetectionStatus.RUNNING.value
        bench.topics.add(topic_of(detection.id))
