"""Certificates that are on record: found, shown, and dropped. How one comes to be there is in `certify`."""

from typing import Any

from sqlmodel import Session, col, delete, select

from service.kit.clock import rfc3339_or_none
from service.runs.state.lifecycle import CertificateState
from service.runs.state.models import Certificate


def certificate_named(session: Session, mode: str, vendor: str, certificate_id: str) -> Certificate | None:
    """Return the row of the vendor's certificate of this name."""
    same = select(Certificate).where(Certificate.mode == mode, Certificate.vendor == vendor)
    return session.exec(same.where(Certificate.certificate_id == certificate_id)).first()


def newest_certificate(session: Session, detection_id: str) -> Certificate | None:
    """Return the detection's latest certificate."""
    ready = select(Certificate).where(
        Certificate.detection_id == detection_id, Certificate.state == CertificateState.READY.value
    )
    return session.exec(ready.order_by(col(Certificate.ready_at).desc(), col(Certificate.id).desc()).limit(1)).first()


def with_certificates(session: Session, detection_id: str, result: dict[str, Any]) -> dict[str, Any]:
    """Return the result with its runs' certificates among their references. Stored revisions stay as they are."""
    ready = select(Certificate).where(
        Certificate.detection_id == detection_id, Certificate.state == CertificateState.READY.value
    )
    for row in session.exec(ready.order_by(col(Certificate.ready_at))):
        for detector in result["detectors"]:
            if detector["run_id"] == row.run_id:
                refs = detector["refs"]
                detector["refs"] = {**refs, "other": {**refs["other"], **_as_refs(row)}}
    return result


def drop_certificates_of(session: Session, detection_id: str) -> None:
    """Delete the detection's certificates here. At the vendor they stay what they are."""
    session.exec(delete(Certificate).where(col(Certificate.detection_id) == detection_id))


def shown(row: Certificate) -> dict[str, Any]:
    """As the customer sees it. Its id is the vendor's."""
    return {
        "certificate_id": row.certificate_id,
        "detection_id": row.detection_id,
        "run_id": row.run_id,
        "detector": row.detector,
        "format": row.format,
        "verification_url": row.verification_url,
        "download_url": row.download_url,
        "expires_at": rfc3339_or_none(row.expires_at),
        "issued_at": rfc3339_or_none(row.issued_at),
        "ready_at": rfc3339_or_none(row.ready_at),
    }


def _as_refs(row: Certificate) -> dict[str, str]:
    named = {
        "id": row.certificate_id,
        "verification_url": row.verification_url,
        "download_url": row.download_url,
        "expires_at": rfc3339_or_none(row.expires_at),
        "issued_at": rfc3339_or_none(row.issued_at),
    }
    return {f"certificate.{name}": value for name, value in named.items() if value is not None}
