"""ASC's certificates: asked for, looked up, and announced in a callback.

Document: https://aisongchecker.pro/api-docs: certificates. They are of an `analysis_id`, which no documented answer
has: one that an answer names all the same is taken, else what `ASC_ANALYSIS_ID_FROM` says. The body of the callback
`certificate.ready` is not documented either, so it is read leniently.
"""

from collections.abc import Mapping
from typing import Any

from service.detectors.answers import mismatch, name_of, number_of, object_of, text_of, time_of
from service.detectors.enums import ReasonCode
from service.detectors.extensions import AnnouncedCertificate, Certificate, CheckedCertificate
from service.detectors.port import Raw, Refused
from service.detectors.reading import Refs
from service.vendors.asc.client import AscClient, believing

READY = "certificate.ready"
_NESTS = ("certificate", "data", "result")
_NOT_FOUND = 404
_ID_CHARACTERS = 2000
_URL_CHARACTERS = 2048


class AscCertificates(AscClient):
    """The two requests about certificates."""

    def analysis_of(self, refs: Refs) -> str | None:
        """Return the analysis that an answer named, or the job where the operator says so; else `None`."""
        if (named := refs.other.get("analysis_id")) is not None:
            return named
        return refs.job_id if self._settings.analysis_id_from == "job_id" else None

    async def certify(self, analysis_id: str, file_format: str) -> Raw:
        """Ask for a certificate. Raise `NotSent` or `OutcomeUnknown`."""
        return await self._post(self._settings.certificate_action, {"analysis_id": analysis_id, "format": file_format})

    def parse_certificate(self, raw: Raw) -> Certificate | Refused:
        """Return the certificate, or why there is none."""
        body = self._yes(raw, retryable=False)
        if isinstance(body, Refused):
            return body
        found = _certificate(_flat(body))
        return found or mismatch("the answer names no certificate", retryable=False)

    async def fetch_certificate(self, certificate_id: str) -> Raw:
        """Ask if a certificate is valid. The parameter's name is not documented: both likely ones are sent."""
        return await self._get(self._settings.verify_action, id=certificate_id, certificate_id=certificate_id)

    def parse_check(self, raw: Raw, certificate_id: str) -> CheckedCertificate | Refused:
        """Return what the vendor says of it. An unknown one is not called invalid: so may be the action."""
        body = self._body(raw, retryable=True)
        if isinstance(body, Refused):
            unknown = believing(raw).status == _NOT_FOUND
            text = "the vendor does not find the certificate"
            return Refused(ReasonCode.VENDOR_ERROR, text, retryable=True) if unknown else body
        fields = _flat(body)
        valid, named = fields.get("valid"), name_of(fields.get("certificate_id"))
        if not isinstance(valid, bool) or named not in (None, certificate_id):
            return mismatch("the answer does not say whether this certificate holds", retryable=True)
        if valid and isinstance(parsed := self._yes(raw, retryable=True), Refused):
            return parsed
        return CheckedCertificate(
            certificate_id,
            valid,
            verdict_raw=text_of(fields.get("prediction")),
            score=number_of(fields.get("ai_score"), 0, 100),
            issued_at=time_of(fields.get("issued_at")),
        )

    def parse_announcement(self, body: Mapping[str, object]) -> AnnouncedCertificate | None:
        """Return the certificate that a callback says is ready."""
        fields = _flat(body)
        if fields.get("event") != READY or (certificate := _certificate(fields)) is None:
            return None
        return AnnouncedCertificate(certificate, name_of(fields.get("analysis_id")), name_of(fields.get("job_id")))


def _flat(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields at the top, or below one of the members in which they may stand."""
    inner = {key: value for nest in _NESTS for key, value in object_of(body.get(nest)).items()}
    return {**inner, **{key: value for key, value in body.items() if key not in _NESTS and value is not None}}


def _certificate(fields: Mapping[str, Any]) -> Certificate | None:
    name = name_of(fields.get("certificate_id"))
    if name is None or len(name) > _ID_CHARACTERS or not name.isprintable():
        return None
    return Certificate(
        name,
        verification_url=_address(fields.get("verification_url")),
        download_url=_address(fields.get("download_url")),
        expires_at=time_of(fields.get("expires_at")),
        issued_at=time_of(fields.get("issued_at")),
    )


def _address(value: object) -> str | None:
    """Return an address that can be shown: of the web, printable, and not too long."""
    text = text_of(value)
    if text is None or not text.startswith(("https://", "http://")) or len(text) > _URL_CHARACTERS:
        return None
    return text if text.isprintable() else None
