"""A scripted vendor that issues certificates and repeats names; what such bodies mean is read as ASC's adapter does."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from service.detectors.exchange import Exchange
from service.detectors.extensions import AnnouncedCertificate, CheckedCertificate, IssuedCertificate
from service.detectors.port import CallbackRefs, Raw, Refused
from service.detectors.reading import Reading, Refs
from service.vendors.asc import Asc, AscSettings
from tests.detections.scripted import Answer, Scripted, raw

_ASC = Asc(AscSettings(api_key="key_never_shown"), Exchange(timeout_seconds=5))
ISSUED = {
    "certificate_id": "cert_1",
    "verification_url": "https://vendor.example/verify/cert_1",
    "download_url": "https://vendor.example/cert_1.pdf",
    "expires_at": "2027-11-20T12:00:00Z",
}
HOLDS = {"valid": True, "certificate_id": "cert_1", "prediction": "ai", "issued_at": "2026-11-20T11:59:00Z"}


@dataclass
class Certifying(Scripted):
    """Its answers have the references that their body's `other` says."""

    certificates: list[Answer] = field(default_factory=list)
    looks: list[Answer] = field(default_factory=list)
    wanted: list[str] = field(default_factory=list)

    def read(self, raw: Raw, detector: str) -> Reading | Refused:
        said = super().read(raw, detector)
        other = json.loads(raw.body).get("other", {})
        return said.model_copy(update={"refs": Refs(other=other)}) if isinstance(said, Reading) else said

    def refs(self, body: Mapping[str, object]) -> CallbackRefs | None:
        return _ASC.refs(body)

    def analysis_of(self, refs: Refs) -> str | None:
        return _ASC.analysis_of(refs)

    async def certify(self, analysis_id: str, file_format: str) -> Raw:
        return self._next(f"{analysis_id}.{file_format}", self.certificates)

    def parse_certificate(self, raw: Raw) -> IssuedCertificate | Refused:
        return _ASC.parse_certificate(raw)

    async def fetch_certificate(self, certificate_id: str) -> Raw:
        return self._next(certificate_id, self.looks)

    def parse_check(self, raw: Raw, certificate_id: str) -> CheckedCertificate | Refused:
        return _ASC.parse_check(raw, certificate_id)

    def parse_announcement(self, body: Mapping[str, object]) -> AnnouncedCertificate | None:
        return _ASC.parse_announcement(body)

    def _next(self, what: str, answers: list[Answer]) -> Raw:
        self.wanted.append(what)
        assert answers, f"the vendor was asked about {what} once more than scripted"
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, Raw)
        return answer


def certifying(
    *,
    submits: Sequence[Answer] = (),
    fetches: Sequence[Answer] = (),
    certificates: Sequence[Answer] = (),
    looks: Sequence[Answer] = (),
) -> Certifying:
    """ASC's shape, with certificates."""
    return Certifying(submits=[*submits], fetches=[*fetches], certificates=[*certificates], looks=[*looks])


def analysed(word: str = "ai", analysis: str = "ana_1", **more: Any) -> Raw:
    """The vendor has finished, and names its analysis."""
    return raw({"said": word, "other": {"analysis_id": analysis}, **more})
