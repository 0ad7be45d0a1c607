"""What an answer of the detector means. HTTP 200 says only that it was processed; `status` says how that went.

`is_ai` alone decides. `ai_score` is not a calibrated probability and the vendor forbids to judge by it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from service.detectors.answers import folded, name_of, number_of, reason, text_of
from service.detectors.enums import ReasonCode, RunStatus, Verdict
from service.detectors.reading import Attribution, Reading, Refs, Score

OK: Final = "ok"
ERROR: Final = "error"
"""The two words for `status` that are no final refusal: an answer, and a failure worth another try."""

REFUSALS: Final[Mapping[str, tuple[RunStatus, ReasonCode]]] = {
    "invalid_file": (RunStatus.NOT_APPLICABLE, ReasonCode.INVALID_FILE),
    "no_audio": (RunStatus.NOT_APPLICABLE, ReasonCode.NO_AUDIO),
    "too_short": (RunStatus.NOT_APPLICABLE, ReasonCode.TOO_SHORT),
    "too_long": (RunStatus.NOT_APPLICABLE, ReasonCode.TOO_LONG),
    "not_enough_music": (RunStatus.NOT_APPLICABLE, ReasonCode.NOT_ENOUGH_MUSIC),
    # Says nothing of the audio: the vendor could not fetch the link.
    "not_found": (RunStatus.FAILED, ReasonCode.SOURCE_UNREACHABLE),
}
"""The other documented words, all final. An answer with a word that is not here is of no known meaning."""

FAMILIES: Final = frozenset({"suno", "udio", "mureka", "sonauto", "elevenlabs", "boomy", "lyria", "producer.ai"})
"""The generators the vendor has named so far, in `predicted_model`. The list is open."""

_FIELDS = frozenset(
    {"request_id", "status", "message", "is_ai", "ai_score", "predicted_model", "predicted_model_score"}
)


def read_body(body: Mapping[str, Any], hide: Sequence[str]) -> Reading:
    """Return what the vendor says of the track. `hide` are secrets that its words must not show. Never raise."""
    status, message = status_of(body), text_of(body.get("message"))
    told = reason(message, hide=hide) if message else None
    always = {"request_id": name_of(body.get("request_id")), "message": message}
    if status == OK:
        return _analysed(body, {**always, "status": OK}, told if told is None or folded(told) != OK else None)
    refused = REFUSALS.get(status) if status is not None else None
    if refused is None:
        text = f"the answer's status is {body['status']!r}" if "status" in body else "the answer has no status"
        return _failed(_base(body, always), reason(text, hide=hide))
    update = {"status": refused[0], "reason_code": refused[1], "reason_text": told}
    return _base(body, {**always, "status": status}).model_copy(update=update)


def status_of(body: Mapping[str, Any]) -> str | None:
    """Return the word for the outcome, in small letters; `None` where there is none."""
    status = body.get("status")
    return folded(status) if isinstance(status, str) else None


def failure_text(body: Mapping[str, Any], hide: Sequence[str]) -> str:
    """Return the vendor's words for a failure, with the number its support asks for."""
    request_id = name_of(body.get("request_id"))
    text = text_of(body.get("message")) or "the vendor reports a failure without a reason"
    return reason(f"{text} (request_id {request_id})" if request_id else text, hide=hide)


def _base(body: Mapping[str, Any], read: Mapping[str, Any]) -> Reading:
    """Return the fields of any answer. `read` is what was made of the vendor's fields; more is kept in `extras`."""
    extras = {
        key: value
        for key, value in body.items()
        # Null, or the empty text of the vendor's tables: nothing is lost with a documented field that is empty.
        if read.get(key) is None and not (key in _FIELDS and value in (None, ""))
    }
    return Reading(status=RunStatus.FAILED, refs=Refs(request_id=read["request_id"]), extras=extras)


def _analysed(body: Mapping[str, Any], always: Mapping[str, Any], told: str | None) -> Reading:
    is_ai = body.get("is_ai")
    score = number_of(body.get("ai_score"), 0, 1)
    attribution = _attribution(body, named=is_ai is True)
    read = {
        **always,
        "is_ai": is_ai if isinstance(is_ai, bool) else None,
        "ai_score": score,
        "predicted_model": attribution and attribution.raw_label,
        "predicted_model_score": attribution and attribution.score,
    }
    found = {
        "score": None
        if score is None
        else Score(value=score, min=0, max=1, semantics="ai_likelihood", polarity="ai_high"),
        "attribution": attribution,
        "reason_text": told,
    }
    return _decided(_base(body, read).model_copy(update=found), is_ai)


def _decided(base: Reading, is_ai: object) -> Reading:
    if isinstance(is_ai, bool):
        verdict = Verdict.AI_GENERATED if is_ai else Verdict.NO_AI_DETECTED
        word = str(is_ai).lower()  # as JSON writes it
        return base.model_copy(update={"status": RunStatus.SUCCEEDED, "verdict": verdict, "verdict_raw": word})
    if isinstance(is_ai, str):
        unknown = base.model_copy(update={"verdict_raw": reason(is_ai)})
        return _failed(unknown, reason(f"is_ai is {is_ai}"), ReasonCode.UNKNOWN_VERDICT)
    return _failed(base, "the analysis is ok, but is_ai is neither true nor false")


def _attribution(body: Mapping[str, Any], *, named: bool) -> Attribution | None:
    """Return the generator the vendor names. For a track that is not AI the label is kept but claims no family."""
    label = text_of(body.get("predicted_model"))
    if label is None:
        return None
    family = folded(label)
    return Attribution(
        raw_label=label,
        family=family if named and family in FAMILIES else None,
        score=number_of(body.get("predicted_model_score")),
    )


def _failed(base: Reading, text: str, code: ReasonCode = ReasonCode.SCHEMA_MISMATCH) -> Reading:
    return base.model_copy(update={"status": RunStatus.FAILED, "reason_code": code, "reason_text": text})
