"""`POST /callbacks/{detector}/{token}`: vendors say how a run went.

Read it from top to bottom: token, size, media type, strict parse, signature, store, and only then 200. A stranger
gets 4xx; a fault of ours gets 503, because a 4xx would end the vendor's retries.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from service.api.bodies import check_media_type, parse_object, read_beginning, read_body
from service.api.context import Context, context_of
from service.api.contract.dispatch import routes_of
from service.api.contract.operation import ApiOperation, Body, ResponseSpec, Tag
from service.api.problems import problem
from service.callbacks.addresses import read_address
from service.callbacks.intake import Arrived
from service.callbacks.quarantine import QUARANTINED_BYTES, STRANGER
from service.detectors.catalogue import Catalogue, ConfiguredVendor
from service.detectors.enums import Authenticity
from service.kit.clock import milliseconds_between
from service.kit.errors import CallerError, not_found
from service.kit.security.tokens import BadToken
from service.kit.telemetry.failing import Failing
from service.kit.telemetry.metrics import Count, Histogram

log = structlog.get_logger()

CALLBACKS = Count("relay_callbacks_total", "Callbacks, by what became of them at the door.", "vendor", "outcome")
ACKNOWLEDGED = Histogram(
    "relay_callback_acknowledged_seconds", "From a callback's request to the commit before its 200.", "vendor"
)

_LONGEST_REF_BYTES = 2000  # PostgreSQL indexes no text of more than 2,700 bytes
_RETRY_SECONDS = "10"
_not_stored = Failing("callback.not_stored")


@dataclass(frozen=True, slots=True)
class Addressed:
    """The address a callback was sent to: an account's (`run_id` is `None`) or one run's."""

    mode: str
    run_id: str | None


@dataclass(frozen=True, slots=True)
class Authentic:
    """A callback that may be stored: its run's, job's or certificate's name, and how well its origin is proven."""

    subject: str
    job_id: str | None
    authenticity: Authenticity


@dataclass(frozen=True, slots=True)
class Rejected:
    """A callback that has no effect. `note` is for the operator; `job_id` is what it claims to be about."""

    note: str
    job_id: str | None = None


@dataclass(slots=True)
class Incoming:
    """A callback on its way in, as far as it is known."""

    context: Context
    vendor: str
    headers: Mapping[str, str]
    received_at: datetime
    mode: str = "live"
    body: bytes = b""

    async def store(self, *, outcome: str, **judged: Any) -> bool:
        """Store the callback and count the outcome, `duplicate` if it was stored before. Return True if it is new."""
        is_new = await self.context.intake.add(
            Arrived(
                mode=self.mode,
                vendor=self.vendor,
                body=self.body,
                headers=self.headers,
                received_at=self.received_at,
                **judged,
            )
        )
        CALLBACKS.add(self.vendor, outcome if is_new or outcome == "rejected" else "duplicate")
        return is_new

    async def reject(self, note: str, job_id: str | None = None, run_id: str | None = None) -> CallerError:
        """Keep the callback in quarantine, log it, and return its 401. It has no effect on any run.

        A leaked or rotated secret looks like this. `run_id` is whose address it came to.
        """
        is_new = await self.store(
            outcome="rejected",
            subject="",  # no vendor's job has this name
            job_id=job_id,  # the run it claims to be about: shown on that run's timeline, and used for nothing else
            authenticity=Authenticity.NONE.value,
            quarantined=True,
            note=note,
            run_id=run_id,
        )
        log.warning(
            "callback.rejected",
            vendor=self.vendor,
            mode=self.mode,
            run_id=run_id,
            job_id=job_id,
            outcome="rejected",
            note=note,
            new=is_new,
            bytes=len(self.body),
        )
        return _rejected()


async def take_callback(request: Request) -> Response:
    """Answer 200 once the callback is stored durably; echo a challenge."""
    context, vendor = context_of(request), request.path_params["vendor"]
    kind = callback_kind(context.policy.catalogue, vendor)
    if kind is None:
        raise not_found("detector with callbacks")
    try:
        taken = await _receive(request, context, vendor, kind)
    except (CallerError, ClientDisconnect):
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, a 4xx would end the vendor's retries
        CALLBACKS.add(vendor, "not_stored")
        _not_stored.failed(error, vendor=vendor)
        detail = "Temporary error. Please send it again."
        return problem(request, 503, "not_stored", detail, headers={"Retry-After": _RETRY_SECONDS})
    _not_stored.well()
    return taken


def callback_kind(catalogue: Catalogue, vendor: str) -> str | None:
    """Return `account`, `run`, or `None` for a vendor without callbacks and for an unknown one."""
    for mode in ("live", "test"):
        configured = catalogue.configured(mode, vendor)
        if configured is not None:
            return configured.adapter.capabilities(configured.adapter.detectors[0]).callbacks
    return None


async def _receive(request: Request, context: Context, vendor: str, kind: str) -> Response:
    """Answer 200 for a stored callback, or echo a challenge. Raise `CallerError` for everything else.

    1. The token names the run or the account; without one, the sender is a stranger.
    2. The body is read and parsed strictly. An unreadable one is kept for an operator.
    3. A challenge is echoed; it exists at an account's address only.
    4. The signature is verified. A rejected callback is kept for an operator.
    5. The callback is stored, and only then acknowledged.
    """
    now = context.clock()
    headers = {name.lower(): value for name, value in request.headers.items()}
    incoming = Incoming(context, vendor, headers, now)
    addressed = await _addressed(context, vendor, kind, request.path_params["token"], now)
    configured = context.policy.catalogue.configured(addressed.mode, vendor) if addressed else None
    if addressed is None or configured is None:
        raise await _turned_away(request, incoming)
    incoming.mode = addressed.mode
    document = await _read(request, incoming, addressed)
    if addressed.run_id is None and (echo := configured.adapter.challenge(document)) is not None:
        return JSONResponse(echo)
    judged = _judge(configured, addressed, headers, document, now)
    if isinstance(judged, Rejected):
        raise await incoming.reject(judged.note, judged.job_id)
    is_new = await incoming.store(
        outcome="taken", subject=judged.subject, job_id=judged.job_id, authenticity=judged.authenticity.value
    )
    stored_at = context.clock()
    ACKNOWLEDGED.observe((stored_at - now).total_seconds(), vendor)
    log.info(
        "callback.taken",
        vendor=vendor,
        mode=incoming.mode,
        subject=judged.subject,
        run_id=addressed.run_id,
        job_id=judged.job_id,
        authenticity=judged.authenticity.value,
        outcome="taken" if is_new else "duplicate",
        new=is_new,
        bytes=len(incoming.body),
        took_ms=milliseconds_between(now, stored_at),
    )
    return JSONResponse({"received": True})


async def _read(request: Request, incoming: Incoming, addressed: Addressed) -> dict[str, object]:
    """Read the body and return the JSON object in it. Raise `CallerError` after an unreadable one was kept."""
    try:
        incoming.body = await read_body(request)
        check_media_type(request)
        return _parsed(incoming.body)
    except CallerError as error:
        # A vendor that changes its format must not go unnoticed.
        await incoming.reject(f"unreadable: {error.detail}", run_id=addressed.run_id)
        raise


async def _turned_away(request: Request, incoming: Incoming) -> CallerError:
    """Return the 401 for a stranger. Read little of the body, and write nothing once there were many."""
    incoming.body = await read_beginning(request, max_bytes=QUARANTINED_BYTES)
    if incoming.context.strangers.may_be_kept(incoming.vendor, incoming.received_at):
        return await incoming.reject(STRANGER)
    CALLBACKS.add(incoming.vendor, "rejected")
    return _rejected()


def _judge(
    configured: ConfiguredVendor,
    addressed: Addressed,
    headers: Mapping[str, str],
    document: Mapping[str, object],
    now: datetime,
) -> Authentic | Rejected:
    refs = configured.adapter.refs(document)
    if refs is None:
        return Rejected("the body contradicts itself")
    job_id = refs.job_id if _keepable(refs.job_id) else None
    authenticity = configured.adapter.verify(headers, document, configured.policy.webhook_secrets, now)
    subject = addressed.run_id or refs.job_id or refs.certificate_id
    if authenticity is None or subject is None:
        return Rejected("the signature is missing, stale or wrong", job_id)
    if not _keepable(subject, refs.job_id):
        return Rejected("the name of its job is too long", job_id)
    return Authentic(subject, refs.job_id, authenticity)


async def _addressed(context: Context, vendor: str, kind: str, token: str, now: datetime) -> Addressed | None:
    """Return the addressee that the token names. A run's address contains its run; any other is looked up."""
    if kind == "run":
        with contextlib.suppress(BadToken):
            address = read_address(context.tokens, token, now)
            return Addressed(address.mode, address.run_id) if address.vendor == vendor else None
    mode = await context.addresses.mode(context.database, vendor, token, now)
    return Addressed(mode, None) if mode else None


def _keepable(*names: str | None) -> bool:
    return all(len((name or "").encode()) <= _LONGEST_REF_BYTES for name in names)


def _parsed(body: bytes) -> dict[str, object]:
    try:
        return parse_object(body)
    except CallerError as error:
        raise CallerError("malformed_json", error.detail, status=400) from error


def _rejected() -> CallerError:
    return CallerError("callback_rejected", "Invalid callback token or signature.", status=401)


_OBJECT = {"type": "object"}

ROUTES = routes_of([
    ApiOperation(
        "POST", "/callbacks/{vendor}/{token}", id="takeCallback", tag=Tag.VENDORS, raw=take_callback,
        summary="Receive a vendor's callback",
        text="The body is in the vendor's own format. It is stored before the response is sent; a challenge is echoed.",
        body=Body(content={"application/json": _OBJECT}),
        responses={200: ResponseSpec("Stored, now or before.", content={"application/json": _OBJECT})},
        errors=(400, 401, 408, 413, 415, 422, 503),
    ),
])  # fmt: skip
ROUTE = ROUTES[0]
