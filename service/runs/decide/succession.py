"""Another run goes on with the work of one that is given up while others wait for the same answer."""

import json

from service.runs.decide.moves import is_ended
from service.runs.decide.workbench import Workbench
from service.runs.state.rows import RunRow
from service.runs.topics import topic_of
from service.verdicts.verdict import DetectionStatus

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
