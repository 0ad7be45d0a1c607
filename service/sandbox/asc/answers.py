"""What ASC says of a job: to its submitter, to a poll, in a callback; and what its certificates prove.

Written from aisongchecker.pro/api-docs (v1.0, March 2026). The page leaves the poll's body open; chosen here: the
job's members, then those of a synchronous analysis, or `error` and `message`. States after `queued` are guessed too.
The page has no answer with an `analysis_id`, though a certificate wants one: here the answers about an ended analysis
have it. Links lead nowhere.
"""

import hashlib
import math
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final, TypeGuard
from urllib.parse import urlsplit

from starlette.responses import JSONResponse

from service.sandbox.records import Record, Records, Submission, Submissions
from service.sandbox.script import Phase, Script, Truth

ENGINE: Final = "v8.3"
_URL_LENGTH: Final = 2_048
_VERY_HIGH: Final = 90
_UNHEARD_OF: Final = "hibernating"
_SCRIPTED_FAILURE: Final = "analysis_failed"
MESSAGES: Final = {
    _SCRIPTED_FAILURE: "The audio could not be analyzed",
    "invalid_audio_format": "Audio format not supported. Accepted: mp3, wav, ogg, flac, m4a",
    "download_failed": "The audio URL could not be downloaded",
    "file_too_large": "File exceeds size limit",
    "empty_file": "The audio file is empty",
}
_SCORES: Final = {Truth.AI: (86, 98), Truth.HUMAN: (2, 14), Truth.COVER: (72, 84)}
"""The range of `ai_score`, 0 to 100. ASC has no word for a cover: it is called AI, less surely."""
_REASONS: Final = {
    "ai": ["32kHz resampling artifacts detected", "Harmonic instability pattern recognized"],
    "human": ["Natural micro-timing variation", "No resampling artifacts detected"],
}
_ANALYSIS: Final = "asc-analysis"
_CERTIFICATE: Final = "asc-certificate"
_LIFE: Final = timedelta(days=365)
_SITE: Final = "https://aisongchecker.example"


def submissions(records: Records, latency_seconds: float) -> Submissions:
    """Return the jobs, with ids in the vendor's pattern: `job_` and the rest."""
    return Submissions(records, latency_seconds, "asc-job", lambda _: "job_", joints=1)


def trouble(job: Submission) -> str:
    """Return why the job fails; an empty string if it does not."""
    if job.record.trouble:
        return job.record.trouble
    if job.script.is_undecodable:
        return "invalid_audio_format"
    return _SCRIPTED_FAILURE if job.script.fails else ""


def accepted(job: Submission) -> dict[str, Any]:
    """Return the answer to the submission. `estimated_time_sec` is whole seconds."""
    return {
        "job_id": job.id,
        "status": "queued",
        "estimated_time_sec": max(1, math.ceil(job.latency_seconds)),
    }


def polled(job: Submission, now: datetime) -> dict[str, Any]:
    """Return the answer to a poll."""
    if job.script.unheard_of:
        return {"job_id": job.id, "status": _UNHEARD_OF}
    phase = job.phase(now)
    if phase is Phase.WAITING:
        return accepted(job)
    if phase is Phase.WORKING:
        return {"job_id": job.id, "status": "processing"}
    return ended(job)


def ended(job: Submission) -> dict[str, Any]:
    """Return the answer to a poll after the end."""
    if error := trouble(job):
        return {"job_id": job.id, "status": "failed", "error": error, "message": MESSAGES[error]}
    said = verdict(job.record)
    return {
        "job_id": job.id,
        "status": "completed",
        **said,
        "reasons": reasons(said["prediction"]),
        "engine": ENGINE,
        "analysis_time_ms": round((job.done_at - job.record.at).total_seconds() * 1000),
    }


def completion(job: Submission) -> dict[str, Any]:
    """Return the callback's body when the analysis is complete."""
    return _complete(job, verdict(job.record))


def forged(job: Submission) -> dict[str, Any]:
    """Return a lie in the documented shape: the other verdict, of a job that does not exist."""
    stranger = hashlib.sha256(f"forged/{job.id}".encode()).hexdigest()[:24]
    return _complete(replace(job, id=f"job_{stranger}"), _verdict(job.record, job.script.truth_for("asc").opposite))


def unheard_of(job: Submission) -> dict[str, Any]:
    """Return a callback's body with an event that the page does not have."""
    return {"event": f"analysis.{_UNHEARD_OF}", "job_id": job.id, "timestamp": zulu(job.done_at)}


def failure(job: Submission) -> dict[str, Any]:
    """Return the callback's body when the analysis failed. Not documented; sent only where a setting says so."""
    return {
        "event": "analysis.failed",
        "job_id": job.id,
        "error": trouble(job),
        "timestamp": zulu(job.done_at),
    }


def zulu(at: datetime) -> str:
    """Return `at`, which is UTC, to the second, as the page prints times."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def verdict(record: Record) -> dict[str, Any]:
    """Return the three members that every answer about this recording has in common."""
    return _verdict(record, Script.of(record.name).truth_for("asc"))


def reasons(prediction: str) -> list[str]:
    """Return reasons in the vendor's sort of words."""
    return _REASONS[prediction]


def refusal(status: int, code: str, message: str) -> JSONResponse:
    """Return the error envelope."""
    return JSONResponse({"error": code, "message": message, "status": status}, status_code=status)


def is_address(value: Any) -> TypeGuard[str]:
    """Return True if this is an http(s) address of at most 2,048 characters."""
    if not isinstance(value, str) or len(value) > _URL_LENGTH:
        return False
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)


def _complete(job: Submission, said: dict[str, Any]) -> dict[str, Any]:
    return {"event": "analysis.complete", "job_id": job.id, **said, "timestamp": zulu(job.done_at)}


def _verdict(record: Record, truth: Truth) -> dict[str, Any]:
    low, high = _SCORES[truth]
    score = low + hashlib.sha256(record.nonce.encode()).digest()[0] % (high - low + 1)
    sure = max(score, 100 - score) >= _VERY_HIGH
    return {
        "prediction": "human" if truth is Truth.HUMAN else "ai",
        "ai_score": score,
        "confidence_level": "very_high" if sure else "high",
    }


def analysis_id(records: Records, record: Record) -> str:
    """Return the id of the analysis that this record began; the same each time."""
    return "ana_" + records.seal(replace(record, kind=_ANALYSIS, tier="", callback_url=None))


def issued(records: Records, analysis: str, file_format: str, now: datetime) -> dict[str, Any] | None:
    """Return the certificate of this analysis; None if there was no such analysis."""
    record = records.open(analysis.removeprefix("ana_"), _ANALYSIS) if analysis.startswith("ana_") else None
    if record is None:
        return None
    certificate = "cert_" + records.seal(replace(record, kind=_CERTIFICATE, at=now))
    return {
        "certificate_id": certificate,
        "verification_url": f"{_SITE}/verify/{certificate}",
        "download_url": f"{_SITE}/api/cert/{certificate}.{file_format}",
        "expires_at": zulu(now + _LIFE),
    }


def verified(records: Records, certificate: str, now: datetime) -> dict[str, Any] | None:
    """Return what this certificate proves and if it is still valid; None if we never issued it."""
    record = records.open(certificate.removeprefix("cert_"), _CERTIFICATE) if certificate.startswith("cert_") else None
    if record is None:
        return None
    said = verdict(record)
    return {
        "valid": now < record.at + _LIFE,
        "certificate_id": certificate,
        "prediction": said["prediction"],
        "ai_score": said["ai_score"],
        "issued_at": zulu(record.at),
    }


def ready(certificate: dict[str, Any], now: datetime) -> dict[str, Any]:
    """Return the callback's body when a certificate is ready. The page has the event's name and nothing of its body."""
    return {"event": "certificate.ready", **certificate, "timestamp": zulu(now)}
