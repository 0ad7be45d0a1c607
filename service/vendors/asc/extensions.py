"""What ASC offers beside analyses: its status, our account there, our address, and certificates.

Document: https://aisongchecker.pro/api-docs: health, usage, quota, webhooks, certificates. It names none of these
actions, so their names are settings. What a registration is answered with is not documented: any success that does not
say no will do. A certificate is of an `analysis_id`, which no documented answer has: one that an answer names all the
same is taken, else what `ASC_ANALYSIS_ID_FROM` says. The body of the callback `certificate.ready` is not documented
either, so it is read leniently.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from service.detectors.answers import is_success, mismatch, name_of, number_of, object_of, text_of, time_of
from service.detectors.enums import ReasonCode
from service.detectors.extensions import AnnouncedCertificate, CheckedCertificate, IssuedCertificate, Quota, Usage
from service.detectors.objections import layers_of, stated_refusal
from service.detectors.port import Raw, Refused
from service.detectors.reading import Refs
from service.vendors.asc.client import AscClient, believing

READY = "certificate.ready"
EVENTS = ("analysis.complete", READY)
_STATUS = ("status", "version", "engine", "uptime_percent")
_LARGEST = 2**31 - 1
_IN_FORCE = ("active", "enabled", "registered", "confirmed", "verified")
_NESTS = ("certificate", "data", "result")
_NOT_FOUND = 404
_ID_CHARACTERS = 2000
_URL_CHARACTERS = 2048


class AscExtensions(AscClient):
    """The requests about the service, the account and certificates."""

    periods: Sequence[str] = ("today", "week", "month")

    async def fetch_status(self) -> Raw:
        """Ask if the vendor works and return its answer."""
        return await self._get(self._settings.status_action)

    def parse_status(self, raw: Raw) -> Mapping[str, str] | Refused:
        """Return the vendor's own words: state, version, engine, uptime in percent."""
        body = self._yes(raw, retryable=True)
        if isinstance(body, Refused):
            return body
        parsed = {key: str(body[key]) for key in _STATUS if isinstance(body.get(key), str | int | float)}
        return parsed or mismatch("the answer says nothing of the service", retryable=True)

    async def fetch_quota(self) -> Raw:
        """Ask what is left today. The request counts itself."""
        return await self._get(self._settings.quota_action)

    def parse_quota(self, raw: Raw) -> Quota | Refused:
        """Return what is left of the day's requests. A day ends at midnight UTC."""
        body = self._yes(raw, retryable=True)
        if isinstance(body, Refused):
            return body
        limit, used, left = (_count(body.get(f"daily_{name}")) for name in ("limit", "used", "remaining"))
        if left is None and limit is not None and used is not None:
            left = max(0, limit - used)
        if left is None:
            return mismatch("the answer does not say what is left", retryable=True)
        return Quota(text_of(body.get("plan")), limit, used, left, time_of(body.get("reset_at")))

    async def fetch_usage(self, period: str) -> Raw:
        """Ask what was used in `period`."""
        more = {"detailed": "true"} if self._settings.usage_detailed else {}
        return await self._get(self._settings.usage_action, period=period, **more)

    def parse_usage(self, raw: Raw, period: str) -> Usage | Refused:
        """Return what was used, by the vendor's own names."""
        body = self._body(raw, retryable=True)
        if isinstance(body, Refused):
            return body
        counts = {key: number for key, value in body.items() if (number := number_of(value, 0)) is not None}
        refused = stated_refusal(_words(body, counts), hide=[self._settings.secret], retryable=True)
        if refused is not None:
            return refused
        if not counts:
            return mismatch("the answer does not say what was used", retryable=True)
        more = {key: value for key, value in body.items() if key not in counts and key != "period"}
        return Usage(name_of(body.get("period")) or period, counts, more)

    async def register(self, url: str) -> Raw:
        """Register our account's address for analyses and certificates."""
        return await self._post(self._settings.webhook_action, {"url": url, "events": list(EVENTS)})

    def parse_registration(self, raw: Raw) -> Refused | None:
        """Return `None` for a success in which nothing speaks against it: what it looks like is not documented."""
        found = self._yes(raw, retryable=False)
        return found if isinstance(found, Refused) and not _is_empty(raw) else None

    def confirmed(self, raw: Raw) -> bool:
        """Return True if the answer says more than that it came, and not that the address is inactive."""
        body = self._yes(raw, retryable=False)
        if isinstance(body, Refused) or not body:
            return False
        layers = layers_of([body])
        return not any(layer.members.get(name) is False for layer in layers for name in _IN_FORCE)

    def analysis_of(self, refs: Refs) -> str | None:
        """Return the analysis that an answer named, or the job where the operator says so; else `None`."""
        if (named := refs.other.get("analysis_id")) is not None:
            return named
        return refs.job_id if self._settings.analysis_id_from == "job_id" else None

    async def certify(self, analysis_id: str, file_format: str) -> Raw:
        """Ask for a certificate. Raise `NotSent` or `OutcomeUnknown`."""
        return await self._post(self._settings.certificate_action, {"analysis_id": analysis_id, "format": file_format})

    def parse_certificate(self, raw: Raw) -> IssuedCertificate | Refused:
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


def _words(usage: Mapping[str, Any], counts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members that may state a failure of the request for the usage.

    Its numbers, and what is below the top, tell of our other requests: none of them is a failure of this one.
    """
    words = {key: value for key, value in usage.items() if key not in counts and not isinstance(value, Mapping | list)}
    errors = {key: usage[key] for key in ("error", "errors") if not isinstance(usage.get(key), int | float | None)}
    return {**words, **errors}


def _is_empty(raw: Raw) -> bool:
    return is_success(raw) and not raw.body.strip()


def _count(value: object) -> int | None:
    number = number_of(value, 0, _LARGEST)
    return None if number is None else int(number)


def _flat(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields at the top, or below one of the members in which they may stand."""
    inner = {key: value for nest in _NESTS for key, value in object_of(body.get(nest)).items()}
    return {**inner, **{key: value for key, value in body.items() if key not in _NESTS and value is not None}}


def _certificate(fields: Mapping[str, Any]) -> IssuedCertificate | None:
    name = name_of(fields.get("certificate_id"))
    if name is None or len(name) > _ID_CHARACTERS or not name.isprintable():
        return None
    return IssuedCertificate(
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
