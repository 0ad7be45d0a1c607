"""What surrounds a result: the task, its state, its times. The result itself is read in `results`.

Two envelopes are documented: the API reference's `{task_id, status, model_type, completed_at, result}`, and the
quick start's camelCase one (`taskId`, `aiModelName`, `requestedAt`, …), whose `result` may hold the first again.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta, timezone
from typing import Any, Final

from service.detectors.answers import (
    error_text,
    leftovers,
    meaning_of,
    mismatch,
    name_of,
    object_of,
    reason,
    text_of,
    time_of,
    unused,
)
from service.detectors.enums import ReasonCode, RunStatus
from service.detectors.port import Refused
from service.detectors.reading import Engine, Reading
from service.detectors.reading import Refs as ReadingRefs
from service.vendors.aippim.results import read_result

STATES: Final[Mapping[str, RunStatus]] = {
    "pending": RunStatus.PENDING,
    "processing": RunStatus.RUNNING,
    "success": RunStatus.SUCCEEDED,
    "completed": RunStatus.SUCCEEDED,  # the sibling products' pages
    "failure": RunStatus.FAILED,
    "failed": RunStatus.FAILED,  # the sibling products' pages
}
"""The vendor's state of a task in our words. Any other word keeps the run going, and is noted."""

# Seen without a zone, nine hours after the UTC time in the task's own id: Korean time.
_KOREA = timezone(timedelta(hours=9))

_ID_KEYS = ("task_id", "taskId")
_MODEL_KEYS = ("model_type", "model", "aiModelName")
_OTHER_KEYS = ("taskResultId", "musicId", "filepath", "title", "url", "task_name")
_SUBMITTED_KEYS = ("created_at", "requestedAt")
_COMPLETED_KEYS = ("completed_at", "completedAt")
_TIME_KEYS = (*_SUBMITTED_KEYS, *_COMPLETED_KEYS)
_KNOWN = frozenset({*_ID_KEYS, *_MODEL_KEYS, *_OTHER_KEYS, *_TIME_KEYS, "status", "result", "error"})


def read_envelope(
    body: Mapping[str, Any], *, tier: str | None, hide: Sequence[str], doubt_real_on_ai_cover: bool
) -> Reading | Refused:
    """Return what the vendor says of the task. Never raise."""
    inner = _inner(body)
    layers = (body, inner)
    ids = _task_ids(layers)
    if len(ids) > 1:
        return mismatch("the answer names two tasks", retryable=True)
    word = _state_word(body, inner)
    status = meaning_of(word, STATES)
    base = _base(layers, next(iter(ids), None), tier, body.get("result"))
    if status is None:
        noted = {**base.extras, "unknown_status": word}
        return base.model_copy(update={"status": RunStatus.RUNNING, "extras": noted})
    if status is RunStatus.FAILED:
        return _failed(base, body, inner, hide)
    if status is RunStatus.SUCCEEDED:
        return read_result(result_of(body), base, doubt_real_on_ai_cover=doubt_real_on_ai_cover)
    return base.model_copy(update={"status": status})


def _task_ids(layers: Sequence[Mapping[str, Any]]) -> set[str]:
    return {name for layer in layers for key in _ID_KEYS if (name := name_of(layer.get(key)))}


def _failed(base: Reading, body: Mapping[str, Any], inner: Mapping[str, Any], hide: Sequence[str]) -> Reading:
    result = body.get("result")
    if result and isinstance(result, Mapping) and not inner:
        base = base.model_copy(update={"extras": base.extras | {"result": result}})
    text = error_text(inner) or error_text(body) or "the vendor reports a failure without a reason"
    failed = {"reason_code": ReasonCode.VENDOR_ERROR, "reason_text": reason(text, hide=hide)}
    return base.model_copy(update={"status": RunStatus.FAILED, **failed})


def result_of(body: Mapping[str, Any]) -> object:
    """Return the result of the analysis, whichever envelope it is in."""
    inner = _inner(body)
    return inner.get("result") if inner else body.get("result")


def _inner(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the envelope inside the envelope, or an empty one."""
    result = object_of(body.get("result"))
    wrapped = "result" in result and "final_result" not in result and "model_results" not in result
    return result if wrapped else {}


def _state_word(body: Mapping[str, Any], inner: Mapping[str, Any]) -> object:
    """Return the state of the task: the outer one, unless it claims a success that the inner one does not."""
    outer_word, inner_word = body.get("status"), inner.get("status")
    if outer_word is None:
        return inner_word
    success = meaning_of(outer_word, STATES) is RunStatus.SUCCEEDED
    return inner_word if success and inner_word is not None else outer_word


def _base(layers: Sequence[Mapping[str, Any]], job_id: str | None, tier: str | None, result: object) -> Reading:
    """Return the fields that do not depend on the result."""
    model = _first(layers, _MODEL_KEYS)
    other = {key: name for layer in layers for key in _OTHER_KEYS if (name := name_of(layer.get(key))) is not None}
    extras: dict[str, Any] = {}
    for layer, prefix in zip(layers, ("", "result."), strict=True):
        extras |= leftovers(layer, _KNOWN, prefix)
        extras |= unused(layer, (*_ID_KEYS, *_OTHER_KEYS), name_of, prefix) | unused(
            layer, _MODEL_KEYS, text_of, prefix
        )
    if result is not None and not isinstance(result, Mapping):
        extras["result"] = result
    return Reading(
        status=RunStatus.RUNNING,
        tier=model or tier,
        engine=Engine(name=model),
        refs=ReadingRefs(job_id=job_id, other=other),
        vendor_submitted_at=time_of(_first(layers, _SUBMITTED_KEYS), zoneless=_KOREA),
        vendor_completed_at=time_of(_first(layers, _COMPLETED_KEYS), zoneless=_KOREA),
        extras=extras | _unread(layers),
    )


def _unread(layers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the known fields whose value could not be used."""
    unread: dict[str, Any] = {}
    for layer in layers:
        for key in _TIME_KEYS:
            if layer.get(key) is not None and time_of(layer[key], zoneless=_KOREA) is None:
                unread[key] = layer[key]
        if layer.get("error") is not None and error_text(layer) is None:
            unread["error"] = layer["error"]
    return unread


def _first(layers: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> str | None:
    return next((text for layer in layers for key in keys if (text := text_of(layer.get(key)))), None)
