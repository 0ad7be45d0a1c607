"""A certificate: as it was issued, and as it stands with its vendor."""

from typing import Literal

from service.api.schemas.common import DetectionId, RunId, Shown, Time
from service.detectors.enums import ReasonCode


class Certificate(Shown):
    """A vendor's paper on its analysis. It proves what that detector said, and no human authorship."""

    certificate_id: str
    """The vendor's name for it."""
    detection_id: DetectionId
    run_id: RunId
    detector: str
    format: Literal["pdf"]
    verification_url: str | None
    """Where anybody can see whether it holds."""
    download_url: str | None
    expires_at: Time | None
    issued_at: Time | None
    """As the vendor says."""
    ready_at: Time
    """By our clock."""


class CheckedCertificate(Certificate):
    """The certificate, and what its vendor says of it now."""

    valid: bool | None
    """Null where the vendor could not be asked, or did not say."""
    checked_at: Time | None
    reason_code: ReasonCode | None
    """Why `valid` is null, where the vendor refused to say."""
    reason_text: str | None


class CertificateReady(Shown):
    """`data` of `certificate.ready`."""

    detection_id: DetectionId
    run_id: RunId
    certificate: Certificate
