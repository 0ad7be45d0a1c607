"""`/v1/detections/{id}/certificate`: one is asked for at the vendor that made the analysis, and looked up there.

A vendor that fails is a failed dependency, 424: the request is sound, the fault is neither the caller's nor ours, and
a 5xx of ours would count as such. `Retry-After` is there where the same request may do better later.
"""

import math
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, StringConstraints
from sqlmodel import Session
from starlette.responses import JSONResponse, Response

from service.accounts.audit import note
from service.accounts.idempotency import ApiAnswer
from service.api.context import Context
from service.api.contract.dispatch import routes_of
from service.api.contract.idempotent import answer_once
from service.api.contract.operation import ApiOperation, Body, Call, ResponseSpec, Tag
from service.api.v1.detections import lock_owned
from service.certificates.issue import CertificateRequest, give_up_certificate, record_certificate, want_certificate
from service.certificates.listing import newest_certificate, shown
from service.detections.queries import find_detection
from service.detectors import extensions
from service.detectors.catalogue import ConfiguredVendor
from service.detectors.exchange import VendorError
from service.detectors.extensions import CheckedCertificate, IssuesCertificates
from service.detectors.port import Raw, Refused
from service.kit.clock import rfc3339
from service.kit.errors import CallerError, existing
from service.quotas.feedback import GateFeedback, feedback_from
from service.quotas.gate_store import admit_request, record_feedback
from service.quotas.gates import Throttled
from service.runs.state.models import Certificate

_RETRY_SECONDS = 30

S = TypeVar("S")


class CertificateIn(BaseModel):
    """`POST /v1/detections/{id}/certificate`. Without a detector, the first one that issues certificates is used."""

    detector: Annotated[str, StringConstraints(min_length=1, max_length=100)] | None = None
    format: Literal["pdf"] = "pdf"


async def create_certificate(call: Call) -> Response:
    """Answer 201 with the certificate, or 200 with an earlier one.

    Raise `CallerError` 409 if there can be none, 424 if the vendor fails.
    """
    context = call.context
    found = await context.database.write(_want, call)
    if isinstance(found, Certificate):
        known = shown(found)
        return await answer_once(call, lambda _session: ApiAnswer(200, known))
    issued = await _request_certificate(found, call.caller.mode, context)
    return await answer_once(call, partial(_issued, call=call, wanted=found, issued=issued))


async def get_certificate(call: Call) -> Response:
    """Answer the certificate, and if it is valid, as the vendor says now. Raise `CallerError` 404 without one."""
    context = call.context
    row = await context.database.read(_newest, call)
    configured = context.policy.catalogue.configured(row.mode, row.vendor)
    checked = await _check(row, configured, context) if configured is not None else None
    state = {
        "valid": checked.valid if isinstance(checked, CheckedCertificate) else None,
        "checked_at": rfc3339(context.clock()) if isinstance(checked, CheckedCertificate) else None,
        "reason_code": checked.reason_code.value if isinstance(checked, Refused) else None,
        "reason_text": checked.reason_text if isinstance(checked, Refused) else None,
    }
    return JSONResponse({**shown(row), **state})


async def _request_certificate(wanted: CertificateRequest, mode: str, context: Context) -> extensions.IssuedCertificate:
    """Return the vendor's certificate. Raise `CallerError` 424; then the next request may try."""
    adapter = wanted.configured.adapter
    assert isinstance(adapter, IssuesCertificates)  # noqa: S101 - what `want_certificate` chose it for
    try:
        parsed = await _send_through_gate(
            (mode, wanted.vendor), wanted.configured, context,
            lambda: adapter.certify(wanted.analysis_id, "pdf"), adapter.parse_certificate,
        )  # fmt: skip
    except BaseException:
        await context.database.write(give_up_certificate, wanted)
        raise
    if isinstance(parsed, Refused):
        await context.database.write(give_up_certificate, wanted)
        raise _failed(parsed)
    return parsed


async def _check(
    row: Certificate, configured: ConfiguredVendor, context: Context
) -> CheckedCertificate | Refused | None:
    """Return what the vendor says about the certificate now; `None` if it cannot be asked."""
    adapter, name = configured.adapter, row.certificate_id or ""
    if not isinstance(adapter, IssuesCertificates):
        return None
    try:
        return await _send_through_gate(
            (row.mode, row.vendor), configured, context,
            lambda: adapter.fetch_certificate(name), lambda raw: adapter.parse_check(raw, name),
        )  # fmt: skip
    except CallerError:
        return None


async def _send_through_gate(
    key: tuple[str, str],
    configured: ConfiguredVendor,
    context: Context,
    ask: Callable[[], Awaitable[Raw]],
    read: Callable[[Raw], S],
) -> S:
    """Send one request through the vendor's gate, and return the parsed answer. Raise `CallerError` 424."""
    database, limits = context.database, configured.policy.limits
    throttled = await database.write(admit_request, key, limits, context.clock())
    if throttled is not None:
        raise _throttled(throttled, context.clock())
    try:
        raw = await ask()
    except VendorError as error:
        await database.write(record_feedback, key, limits, GateFeedback(failed=True), context.clock())
        detail = "The vendor could not be reached, or its answer did not arrive. Send the request again."
        raise CallerError("vendor_error", detail, status=424, headers=_later(_RETRY_SECONDS)) from error
    parsed = read(raw)
    await database.write(record_feedback, key, limits, feedback_from(raw, parsed), context.clock())
    return parsed


def _want(session: Session, call: Call) -> CertificateRequest | Certificate:
    detection, fields = lock_owned(session, call), call.body
    return want_certificate(session, detection, fields.detector, fields.format, call.context.policy, call.now)


def _issued(
    session: Session, *, call: Call, wanted: CertificateRequest, issued: extensions.IssuedCertificate
) -> ApiAnswer:
    now = call.now
    row = record_certificate(session, wanted, issued, call.context.policy, now)
    note(session, call.caller, "certificate.issued", row.detection_id, now)
    return ApiAnswer(201, shown(row), {"Location": f"/v1/detections/{row.detection_id}/certificate"})


def _newest(session: Session, call: Call) -> Certificate:
    detection = existing(find_detection(session, *call.target), "detection")
    row = newest_certificate(session, detection.id)
    if row is None:
        detail = "This detection has no certificate. Create one with POST at this address."
        raise CallerError("no_certificate", detail, status=404)
    session.expunge(row)
    return row


def _failed(refused: Refused) -> CallerError:
    wait = refused.retry_after_seconds or _RETRY_SECONDS
    detail = f"The vendor issued no certificate: {refused.reason_text}"
    return CallerError("vendor_error", detail, status=424, headers=_later(wait) if refused.retryable else {})


def _throttled(throttled: Throttled, now: datetime) -> CallerError:
    wait = math.ceil((throttled.until - now).total_seconds())
    detail = "The vendor's limit is reached; no request is sent to it for now."
    return CallerError(throttled.waiting_for.value, detail, status=424, headers=_later(max(1, wait)))


def _later(seconds: int) -> dict[str, str]:
    return {"Retry-After": str(seconds)}


ROUTES = routes_of([
    ApiOperation(
        "POST", "/v1/detections/{detection_id}/certificate", id="createCertificate", tag=Tag.DETECTIONS,
        scope="detections:write", idempotent=True, handle=create_certificate,
        summary="Create a certificate",
        text="The vendor of a detector that issues certificates is asked for a certificate of its answer. A valid "
        "certificate that exists already is returned, and the vendor is not asked. 424: the vendor failed, could not "
        "be reached, or takes no more requests for now; with `Retry-After`, the same request may succeed later.",
        body=Body(model=CertificateIn, required=False, example={"detector": "asc", "format": "pdf"}),
        responses={
            201: ResponseSpec("The new certificate.", "detections.Certificate", headers=("Location",)),
            200: ResponseSpec("The certificate that was issued before.", "detections.Certificate"),
        },
        errors=(424,),
    ),
    ApiOperation(
        "GET", "/v1/detections/{detection_id}/certificate", id="readCertificate", tag=Tag.DETECTIONS,
        scope="detections:read", handle=get_certificate,
        summary="Get the certificate of a detection",
        text="The latest certificate, and whether it is valid: the vendor is asked each time.",
        responses={200: ResponseSpec("The certificate.", "detections.CheckedCertificate")},
    ),
])  # fmt: skip
