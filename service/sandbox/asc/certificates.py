"""ASC's certificates: of which analysis, until when, and what they prove.

Written from aisongchecker.pro/api-docs (v1.0, March 2026). The page has no answer with an `analysis_id` in it, though a
certificate wants one: here the answers about an ended analysis have it. Links lead nowhere.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from service.sandbox.asc.answers import verdict, zulu
from service.sandbox.records import Record, Records

_ANALYSIS: Final = "asc-analysis"
_CERTIFICATE: Final = "asc-certificate"
_LIFE: Final = timedelta(days=365)
_SITE: Final = "https://aisongchecker.example"


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
