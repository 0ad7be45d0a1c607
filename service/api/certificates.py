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
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.accounts.api_keys import Caller
from service.accounts.audit import note
from service.accounts.idempotency import Answer
from service.api.auth import require
from service.api.bodies import check_media_type, read_body, validated
from service.api.context import Context, context_of
from service.api.idempotent import answer_once, first_answer
from service.certificates.issue import Wanted, give_up_certificate, record_certificate, want_certificate
from service.certificates.listing import newest_certificate, shown
from service.detections.queries import find_detection
from service.detectors import extensions
from service.detectors.catalogue import ConfiguredVendor
from service.detectors.exchange import VendorError
from service.detectors.extensions import CheckedCertificate, IssuesCertificates
from service.detectors.port import Raw, Refused
from service.kit.clock import rfc3339
from service.kit.errors import CallerError, not_found
from service.quotas.adhoc import admit_request
from service.quotas.feedback import GateFeedback, feedback_from
from service.quotas.gate_store import record_feedback
from service.quotas.gates import Throttled
from service.runs.load.lock import lock_detection
from service.runs.state.models import Certificate

_RETRY_SECONDS = 30

S = TypeVar("S")


class CertificateIn(BaseModel):
    """`POST /v1/detections/{id}/certificate`. Without a detector, the first that issues certificates."""

    detector: Annotated[str, StringConstraints(min_length=1, max_length=100)] | None = None
    format: Literal["pdf"] = "pdf"


async def issue(request: Request) -> Response:
    """201 with the certificate; 200 with the one there is; 409 where there can be none; 424 where the vendor fails."""
    caller, context = await require(request, "detections:write"), context_of(request)
    check_media_type(request)
    raw = await read_body(request)
    if (first := await first_answer(request, caller, raw)) is not None:
        return first
    asked = validated(raw, CertificateIn) if raw else CertificateIn()
    found = await context.database.write(_want, caller, request.path_params["detection_id"], asked, context)
    if isinstance(found, Certificate):
        known = shown(found)
        return await answer_once(request, caller, raw, lambda _session: Answer(200, known))
    issued = await _ask_for(found, caller.mode, context)
    work = partial(_issued, caller=caller, wanted=found, issued=issued, context=context)
    return await answer_once(request, caller, raw, work)


async def look_up(request: Request) -> Response:
    """200 with the certificate and whether it holds, as the vendor says now; 404 without one."""
    caller, context = await require(request, "detections:read"), context_of(request)
    row = await context.database.read(_newest, caller, request.path_params["detection_id"])
    configured = context.policy.catalogue.configured(row.mode, row.vendor)
    checked = await _check(row, configured, context) if configured is not None else None
    holds = isinstance(checked, CheckedCertificate)
    told = {
        "valid": checked.valid if isinstance(checked, CheckedCertificate) else None,
        "checked_at": rfc3339(context.clock()) if holds else None,
        "reason_code": checked.reason_code.value if isinstance(checked, Refused) else None,
        "reason_text": checked.reason_text if isinstance(checked, Refused) else None,
    }
    return JSONResponse({**shown(row), **told})


async def _ask_for(wanted: Wanted, mode: str, context: Context) -> extensions.Certificate:
    """The vendor's certificate. Raises `CallerError` 424, and then the next request may ask."""
    adapter = wanted.configured.adapter
    assert isinstance(adapter, IssuesCertificates)  # noqa: S101 - what `want_certificate` chose it for
    try:
        said = await _through_the_gate(
            (mode, wanted.vendor), wanted.configured, context,
            lambda: adapter.certify(wanted.analysis_id, "pdf"), adapter.parse_certificate,
        )  # fmt: skip
    except BaseException:
        await context.database.write(give_up_certificate, wanted)
        raise
    if isinstance(said, Refused):
        await context.database.write(give_up_certificate, wanted)
        raise _failed(said)
    return said


async def _check(
    row: Certificate, configured: ConfiguredVendor, context: Context
) -> CheckedCertificate | Refused | None:
    """What the vendor says of it now; `None` where it cannot be asked."""
    adapter, name = configured.adapter, row.certificate_id or ""
    if not isinstance(adapter, IssuesCertificates):
        return None
    try:
        return await _through_the_gate(
            (row.mode, row.vendor), configured, context,
            lambda: adapter.fetch_certificate(name), lambda raw: adapter.parse_check(raw, name),
        )  # fmt: skip
    except CallerError:
        return None


async def _through_the_gate(
    key: tuple[str, str],
    configured: ConfiguredVendor,
    context: Context,
    ask: Callable[[], Awaitable[Raw]],
    read: Callable[[Raw], S],
) -> S:
    """What the vendor's answer means. It is counted, and its gate hears of it. Raises `CallerError` 424."""
    database, limits = context.database, configured.policy.limits
    hold = await database.write(admit_request, key, limits, context.clock())
    if hold is not None:
        raise _held_up(hold, context.clock())
    try:
        raw = await ask()
    except VendorError as error:
        await database.write(record_feedback, key, limits, GateFeedback(failed=True), context.clock())
        detail = "The vendor could not be asked, or its answer did not arrive. Send the request again."
        raise CallerError("vendor_error", detail, status=424, headers=_later(_RETRY_SECONDS)) from error
    said = read(raw)
    await database.write(record_feedback, key, limits, feedback_from(raw, said), context.clock())
    return said


def _want(
    session: Session, caller: Caller, detection_id: str, asked: CertificateIn, context: Context
) -> Wanted | Certificate:
    if find_detection(session, caller.account_id, caller.mode, detection_id) is None:
        raise not_found("detection")
    detection = lock_detection(session, detection_id)
    return want_certificate(session, detection, asked.detector, asked.format, context.policy, context.clock())


def _issued(
    session: Session, *, caller: Caller, wanted: Wanted, issued: extensions.Certificate, context: Context
) -> Answer:
    now = context.clock()
    row = record_certificate(session, wanted, issued, context.policy, now)
    note(session, caller, "certificate.issued", row.detection_id, now)
    return Answer(201, shown(row), {"Location": f"/v1/detections/{row.detection_id}/certificate"})


def _newest(session: Session, caller: Caller, detection_id: str) -> Certificate:
    if find_detection(session, caller.account_id, caller.mode, detection_id) is None:
        raise not_found("detection")
    row = newest_certificate(session, detection_id)
    if row is None:
        raise CallerError("no_certificate", "This detection has no certificate. POST here asks for one.", status=404)
    session.expunge(row)
    return row


def _failed(refused: Refused) -> CallerError:
    wait = refused.retry_after_seconds or _RETRY_SECONDS
    detail = f"The vendor issued no certificate: {refused.reason_text}"
    return CallerError("vendor_error", detail, status=424, headers=_later(wait) if refused.retryable else {})


def _held_up(hold: Throttled, now: datetime) -> CallerError:
    wait = math.ceil((hold.until - now).total_seconds())
    detail = "As much as the vendor takes has been asked of it; nothing more goes there for now."
    return CallerError(hold.waiting_for.value, detail, status=424, headers=_later(max(1, wait)))


def _later(seconds: int) -> dict[str, str]:
    return {"Retry-After": str(seconds)}


ROUTES = [
    Route("/v1/detections/{detection_id}/certificate", issue, methods=["POST"]),
    Route("/v1/detections/{detection_id}/certificate", look_up, methods=["GET"]),
]
