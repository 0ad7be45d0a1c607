"""A certificate as it was issued, and its state at the vendor."""

from typing import Literal

from service.api.schemas.common import DetectionId, RunId, Shown, Time
from service.detectors.enums import ReasonCode


class Certificate(Shown):
    """A vendor's certificate of its analysis. It proves the result of that detector, not human authorship."""

    certificate_id: str
    """The vendor's id of the certificate."""
    detection_id: DetectionId
    run_id: RunId
    detector: str
    format: Literal["pdf"]
    verification_url: str | None
    """A public page that shows whether the certificate is valid."""
    download_url: str | None
    expires_at: Time | None
    issued_at: Time | None
    """By the vendor's clock."""
    ready_at: Time
    """By the clock of this service."""


class CheckedCertificate(Certificate):
    """The certificate, and its state at the vendor now."""

    valid: bool | None
    """Null if the vendor could not be asked, or did not say."""
    checked_at: Time | None
    reason_code: ReasonCode | None
    """Why `valid` is null, if the vendor refused to answer."""
    reason_text: str | None


class CertificateReady(Shown):
    """`data` of `certificate.ready`."""

    detection_id: DetectionId
    run_id: RunId
    certificate: Certificate
