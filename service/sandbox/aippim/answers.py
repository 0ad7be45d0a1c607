"""What AIPPIM says of a task: to its submitter, to a poll, in a callback and its signature.

Sources at platform.mippia.com: "AI Music Detection" (bodies), "Quick Start" (poll, the camel-case callback),
"Audio Fingerprinting" (the failure body, which the detection page lacks), "Webhooks" (signature).
"""

import hashlib
import hmac
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from typing import Any, Final

from service.sandbox.aippim.result import result
from service.sandbox.records import Record, Records, Submission, Submissions
from service.sandbox.script import Phase, Truth

_FAILURE: Final = "The audio could not be analyzed."
_SEOUL: Final = timedelta(hours=9)  # the whole year
_UNHEARD_OF: Final = "hibernating"


def submissions(records: Records, latency_seconds: float) -> Submissions:
    """Return the tasks, with ids in the vendor's pattern: `task_`, the start in UTC to the second, `_`, the rest."""
    return Submissions(records, latency_seconds, "aippim-task", _head, joints=2)


def submitted(task: Submission) -> dict[str, Any]:
    """Return the answer to the submission (the reference page's shape)."""
    suffix = PurePosixPath(task.record.name).suffix
    return {
        "task_id": task.id,
        "status": "pending",
        "filepath": f"uploads/{task.id}{suffix}",
        "model": task.record.tier,
        "created_at": zulu(task.record.at),
    }


def polled(task: Submission, now: datetime) -> dict[str, Any]:
    """Return the answer to a poll."""
    if task.script.unheard_of:
        return unheard_of(task)
    phase = task.phase(now)
    if phase is Phase.DONE:
        return terminal(task)
    return {"task_id": task.id, "status": "pending" if phase is Phase.WAITING else "processing"}


def unheard_of(task: Submission) -> dict[str, Any]:
    """Return a body for polls and callbacks with a state that no page of the vendor's has."""
    return {"task_id": task.id, "status": _UNHEARD_OF, "model_type": task.record.tier}


def processing(task: Submission) -> dict[str, Any]:
    """Return the callback's body while the work is under way."""
    return {"task_id": task.id, "status": "processing", "result": None, "model_type": task.record.tier}


def terminal(task: Submission) -> dict[str, Any]:
    """Return the body of the callback, and of a poll, once the task has ended."""
    if _fails(task):
        return {
            "task_id": task.id,
            "task_name": "ai_detection",
            "status": "failure",
            "completed_at": zulu(task.done_at),
            "error": _FAILURE,
        }
    return _success(task, task.script.truth_for("aippim"))


def forged(task: Submission) -> dict[str, Any]:
    """Return a lie under the task's own id: that it has succeeded, with the other verdict."""
    return _success(task, task.script.truth_for("aippim").opposite)


def quick_start(task: Submission, *, ended: bool) -> dict[str, Any]:
    """Return the callback's body in the quick-start page's shape.

    As printed there, the result is filled while the status still says `processing`. Not as printed: `task_id`
    stands beside `taskId`, because the documented verifier reads that member and would refuse every callback.
    """
    failed = _fails(task)
    tier = task.record.tier
    return {
        "taskResultId": int.from_bytes(hashlib.sha256(task.id.encode()).digest()[:4]),
        "title": PurePosixPath(task.record.name).stem,
        "aiModelName": tier,
        "url": f"/api/v1/ai-detection/{tier}",
        "taskId": task.id,
        "task_id": task.id,
        "requestedAt": task.record.at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "completedAt": zulu(task.done_at) if ended else None,
        "status": ("failure" if failed else "success") if ended else "processing",
        "result": None if failed else _result(task, task.script.truth_for("aippim")),
    } | ({"error": _FAILURE} if failed and ended else {})


def signed_headers(secret: str, task_id: str, now: datetime) -> dict[str, str]:
    """Return the two headers of a callback: HMAC-SHA256, in hex, over `{unix seconds}:{task_id}`."""
    timestamp = str(int(now.timestamp()))
    mac = hmac.new(secret.encode(), f"{timestamp}:{task_id}".encode(), hashlib.sha256)
    return {"x-mippia-timestamp": timestamp, "x-mippia-signature": mac.hexdigest()}


def dated(body: dict[str, Any], task: Submission, *, korean: bool) -> dict[str, Any]:
    """Return the body with the time of the end as configured: in UTC, or in Korea and without a zone."""
    if not korean or "completed_at" not in body:
        return body
    return body | {"completed_at": (task.done_at + _SEOUL).strftime("%Y-%m-%dT%H:%M:%S.%f")}


def zulu(at: datetime) -> str:
    """Return `at`, which is UTC, to the second, as the reference page prints times."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _fails(task: Submission) -> bool:
    return task.script.fails or task.script.is_undecodable


def _success(task: Submission, truth: Truth) -> dict[str, Any]:
    return {
        "task_id": task.id,
        "status": "success",
        "model_type": task.record.tier,
        "completed_at": zulu(task.done_at),
        "result": _result(task, truth),
    }


def _result(task: Submission, truth: Truth) -> dict[str, Any]:
    return result(task.id, task.record.name, task.record.tier, truth)


def _head(record: Record) -> str:
    return record.at.strftime("task_%Y%m%d%H%M%S_")
