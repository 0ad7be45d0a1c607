"""What a vendor may offer beside its answers: certificates, its account's state, a place to register our address.

Each is a protocol of its own. An adapter that has the methods offers it; a caller asks with `isinstance`.
As with the port, talking and understanding are apart: a request's answer comes back as bytes, and the rest is pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, runtime_checkable

from service.detectors.port import Raw, Refused
from service.detectors.reading import Reading, Refs


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """A certificate the vendor issued. Its id is the vendor's."""

    certificate_id: str
    verification_url: str | None = None
    download_url: str | None = None
    expires_at: datetime | None = None
    issued_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class CheckedCertificate:
    """What the vendor says of a certificate when asked. `verdict_raw` and `score` are its own word and number."""

    certificate_id: str
    valid: bool
    verdict_raw: str | None = None
    score: int | float | None = None
    issued_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class AnnouncedCertificate:
    """A callback's word that a certificate is ready, and what it is of, as far as it says."""

    certificate: IssuedCertificate
    analysis_id: str | None = None
    job_id: str | None = None


@dataclass(frozen=True, slots=True)
class Quota:
    """What the vendor says is left of a limit on requests. `None`: it does not say."""

    plan: str | None = None
    limit: int | None = None
    used: int | None = None
    remaining: int | None = None
    resets_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """What the vendor says was used in a period. `counts` are its own names and numbers, `more` is the rest."""

    period: str
    counts: Mapping[str, int | float] = field(default_factory=dict)
    more: Mapping[str, object] = field(default_factory=dict)


@runtime_checkable
class ReadsFirstAnswers(Protocol):
    """Says more in the answers to its first requests than what they are asked for."""

    def parse_beside(self, raw: Raw) -> Reading | None:
        """Return the names and times in an answer to `prepare` or `submit`, if it can be read."""


@runtime_checkable
class IssuesCertificates(Protocol):
    """Issues certificates of its analyses. Requests raise `NotSent` or `OutcomeUnknown`."""

    def analysis_of(self, refs: Refs) -> str | None:
        """Return the vendor's id of the analysis that a certificate would be of; `None` where it is not known."""

    async def certify(self, analysis_id: str, file_format: str) -> Raw:
        """Ask for a certificate and return the vendor's answer."""

    def parse_certificate(self, raw: Raw) -> IssuedCertificate | Refused:
        """Return the certificate, or why there is none."""

    async def fetch_certificate(self, certificate_id: str) -> Raw:
        """Ask if a certificate is valid and return the vendor's answer."""

    def parse_check(self, raw: Raw, certificate_id: str) -> CheckedCertificate | Refused:
        """Return what the vendor says of that certificate."""

    def parse_announcement(self, body: Mapping[str, object]) -> AnnouncedCertificate | None:
        """Return the certificate that a callback speaks of; `None` where it speaks of something else."""


@runtime_checkable
class ReportsAccount(Protocol):
    """Tells, when asked, whether it works, what is left of its limits and what was used. Asking counts as a request."""

    periods: Sequence[str]
    """For which periods it knows what was used."""

    async def fetch_status(self) -> Raw:
        """Ask if the vendor works and return its answer. That it needs our key is not promised."""

    def parse_status(self, raw: Raw) -> Mapping[str, str] | Refused:
        """Return its own words: its state, its version, its engine."""

    async def fetch_quota(self) -> Raw:
        """Ask what is left and return the vendor's answer."""

    def parse_quota(self, raw: Raw) -> Quota | Refused:
        """Return what is left."""

    async def fetch_usage(self, period: str) -> Raw:
        """Ask what was used and return the vendor's answer."""

    def parse_usage(self, raw: Raw, period: str) -> Usage | Refused:
        """Return what was used."""


@runtime_checkable
class RegistersCallbackUrl(Protocol):
    """Is told our account's address by a request, not in a dashboard."""

    async def register(self, url: str) -> Raw:
        """Register our address and return the vendor's answer."""

    def parse_registration(self, raw: Raw) -> Refused | None:
        """Return `None` if the address was taken, else why not."""

    def confirmed(self, raw: Raw) -> bool:
        """Return True if the answer that took the address also says that it is in force."""
