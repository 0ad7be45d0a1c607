"""What a job's state and result mean, from a poll, a callback, or an analysis answered at once.

The poll's body is not documented: fields are taken from the top or from `result` or `data`. Nor is an
`analysis_id` documented there; where an answer has one, it is kept for a certificate.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from service.detectors.answers import (
    code_by_words,
    error_text,
    folded,
    leftovers,
    list_of,
    meaning_of,
    mismatch,
    name_of,
    number_of,
    object_of,
    reason,
    text_of,
    time_of,
    unused,
)
from service.detectors.enums import ReasonCode, RunStatus, Verdict
from service.detectors.port import Refused
from service.detectors.reading import Confidence, Engine, Reading, Refs, Score
from service.vendors.asc.client import CONTENT

VERDICTS: Final[Mapping[str, Verdict]] = {"ai": Verdict.AI_GENERATED, "human": Verdict.NO_AI_DETECTED}
"""`prediction` in our words. Any other word is `unknown_verdict`."""

STATES: Final[Mapping[str, RunStatus]] = {
    "queued": RunStatus.PENDING,  # the only documented one; the others are what such services commonly say
    "pending": RunStatus.PENDING,
    "processing": RunStatus.RUNNING,
    "running": RunStatus.RUNNING,
    "completed": RunStatus.SUCCEEDED,
    "complete": RunStatus.SUCCEEDED,
    "done": RunStatus.SUCCEEDED,
    "success": RunStatus.SUCCEEDED,
    "analysis.complete": RunStatus.SUCCEEDED,  # the callback's event; it has no status
    "failed": RunStatus.FAILED,
    "failure": RunStatus.FAILED,
    "error": RunStatus.FAILED,
}
"""A job's state in our words. Any other word keeps the run going, and is noted."""

_DAY_MS = 24 * 3600 * 1000
_HTTP_GOOD = tuple(range(200, 300))
_NESTS = ("result", "data")  # where a poll may put what the callback has at the top
_NAMED = ("event", "estimated_time_sec", "analysis_id")
_CERTIFICATE = ("certificate_id", "verification_url", "download_url", "expires_at", "issued_at", "valid")
_KNOWN = frozenset(
    {
        *("event", "job_id", "status", "estimated_time_sec", "prediction", "ai_score", "confidence_level"),
        *("reasons", "engine", "analysis_time_ms", "timestamp", "error", "message"),
        "analysis_id",
        *_CERTIFICATE,
    }
)


def read_body(body: Mapping[str, Any], hide: Sequence[str]) -> Reading | Refused:
    """Return what the vendor says of the job. `hide` are secrets that its words must not show. Never raise."""
    nests = {key: object_of(body[key]) for key in _NESTS if isinstance(body.get(key), Mapping)}
    layers = [body, *nests.values()]
    if _contradict(layers):
        return mismatch("the answer contradicts itself", retryable=True)
    # The outer layer's word wins, and of two nests the first's; what it leaves out is taken from the others.
    fields = {key: value for layer in reversed(layers) for key, value in layer.items() if value is not None}
    base = _base(fields, _leftovers(body, nests))
    status, unknown = _state(layers)
    if unknown is not None:
        base = base.model_copy(update={"extras": base.extras | {"unknown_status": unknown}})
    if status is RunStatus.FAILED:
        return _stated_failure(base, [fields, *layers], hide)
    if status is RunStatus.SUCCEEDED:
        return _decided(base, fields.get("prediction"))
    return base.model_copy(update={"status": status})


def _contradict(layers: Sequence[Mapping[str, Any]]) -> bool:
    """Return True if two layers name different jobs, or have predictions that differ, be it in kind."""
    jobs = {name for layer in layers if (name := name_of(layer.get("job_id")))}
    found = [layer["prediction"] for layer in layers if layer.get("prediction") is not None]
    words = {folded(word) if isinstance(word, str) else repr(word) for word in found}
    return len(jobs) > 1 or len(words) > 1


def _leftovers(body: Mapping[str, Any], nests: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    extras = leftovers(body, _KNOWN | set(nests))
    for key, nest in nests.items():
        extras |= leftovers(nest, _KNOWN, f"{key}.")
    return extras


def _stated_failure(base: Reading, layers: Sequence[Mapping[str, Any]], hide: Sequence[str]) -> Reading:
    text = reason(_failure_text(layers), hide=hide)
    if (word := text_of(layers[0].get("prediction"))) is not None:
        base = base.model_copy(update={"verdict_raw": reason(word)})
    return _failed(base, code_by_words(text, CONTENT) or ReasonCode.VENDOR_ERROR, text)


def _state(layers: Sequence[Mapping[str, Any]]) -> tuple[RunStatus, str | None]:
    """Return the job's state, and a word for it that we do not know.

    A wrapper may say `success` of the request while the job inside is queued: any failure wins, then any known
    state that is not an end, then the innermost word.
    """
    words = _state_words(layers)
    known = [STATES[word] for word in words if word in STATES]
    for status in (RunStatus.FAILED, RunStatus.RUNNING, RunStatus.PENDING):
        if status in known:
            return status, None
    if words:
        return (STATES[words[0]], None) if words[0] in STATES else (RunStatus.RUNNING, reason(words[0]))
    if "certificate_id" in layers[0]:
        return RunStatus.RUNNING, None  # speaks of a certificate, not of a job
    # The documented analysis has no status at all: there, a prediction is the end.
    predicted = any(layer.get("prediction") is not None for layer in layers)
    return (RunStatus.SUCCEEDED, None) if predicted else (RunStatus.RUNNING, "(none)")


def _state_words(layers: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the words for the job's state, the innermost first."""
    body, *nests = layers
    words = [*(nest.get("status") for nest in nests), body.get("status"), body.get("event")]
    # A number is the error envelope's HTTP status said again; only a good one is no state of the job.
    return [folded(str(word)) for word in words if word is not None and word not in _HTTP_GOOD]


def _base(fields: Mapping[str, Any], extras: dict[str, Any]) -> Reading:
    """Return the fields that do not depend on the state."""
    score = number_of(fields.get("ai_score"), 0, 100)
    label = text_of(fields.get("confidence_level"))
    milliseconds = number_of(fields.get("analysis_time_ms"), 0, _DAY_MS)
    completed_at = time_of(fields.get("timestamp"))
    reasons = [each for each in list_of(fields.get("reasons")) if isinstance(each, str)]
    engine = text_of(fields.get("engine"))
    read = {
        "ai_score": score,
        "confidence_level": label,
        "analysis_time_ms": milliseconds,
        "timestamp": completed_at,
        "reasons": reasons or None,
        "engine": engine,
    }
    return Reading(
        status=RunStatus.RUNNING,
        engine=Engine(version=engine),
        score=None
        if score is None
        else Score(value=score, min=0, max=100, semantics="ai_likelihood", polarity="ai_high"),
        confidence=Confidence(label=label, semantics="label") if label else None,
        reasons=reasons,
        refs=Refs(job_id=name_of(fields.get("job_id")), other=_other(fields)),
        vendor_completed_at=completed_at,
        vendor_ms=None if milliseconds is None else round(milliseconds),
        extras=extras | _unread(fields, read),
    )


def _unread(fields: Mapping[str, Any], read: Mapping[str, Any]) -> dict[str, Any]:
    """Return the known fields, or parts of them, whose value could not be used. `read` is what was made of them."""
    unread = {key: fields[key] for key, value in read.items() if value is None and fields.get(key)}
    unread |= unused(fields, ("job_id", *_NAMED, *_CERTIFICATE), _reference)
    unread |= unused(fields, ("error", "message"), text_of)
    odd = [each for each in list_of(fields.get("reasons")) if not isinstance(each, str)]
    return unread | ({"reasons": odd} if read["reasons"] and odd else {})


def _other(fields: Mapping[str, Any]) -> dict[str, str]:
    named = {key: key for key in _NAMED}
    named |= {key: f"certificate.{key.removeprefix('certificate_')}" for key in _CERTIFICATE}
    other = {ours: name for key, ours in named.items() if (name := name_of(fields.get(key))) is not None}
    if isinstance(valid := fields.get("valid"), bool):
        other["certificate.valid"] = str(valid).lower()
    return other


def _reference(value: object) -> str | bool | None:
    return value if isinstance(value, bool) else name_of(value)


def _decided(base: Reading, word: object) -> Reading:
    if not isinstance(word, str):
        base = base if word is None else base.model_copy(update={"extras": base.extras | {"prediction": word}})
        return _failed(base, ReasonCode.SCHEMA_MISMATCH, "the analysis is complete, but has no prediction")
    verdict = meaning_of(word, VERDICTS)
    if verdict is None:
        unknown = base.model_copy(update={"verdict_raw": reason(word)})
        return _failed(unknown, ReasonCode.UNKNOWN_VERDICT, reason(f"prediction is {word}"))
    found = {"status": RunStatus.SUCCEEDED, "verdict": verdict, "verdict_raw": word}
    return base.model_copy(update=found)


def _failed(base: Reading, code: ReasonCode, text: str) -> Reading:
    return base.model_copy(update={"status": RunStatus.FAILED, "reason_code": code, "reason_text": text})


def _failure_text(layers: Sequence[Mapping[str, Any]]) -> str:
    found = (text for layer in layers if (text := error_text(layer)))
    return next(found, "the vendor reports a failure without a reason")
