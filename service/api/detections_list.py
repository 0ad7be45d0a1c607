"""`GET /v1/detections`: an account's detections, newest first, filtered."""

import re
from datetime import datetime
from typing import Any

from sqlmodel import Session
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.accounts.api_keys import Caller
from service.api.auth import require
from service.api.context import Context, context_of
from service.api.parameters import Parameters
from service.detections.listing import Wanted, list_detections, page_of, summaries
from service.detectors.enums import Verdict
from service.kit.paging import Page, PagePosition, listed
from service.verdicts.verdict import DetectionStatus

_DETECTOR = re.compile(r"[a-z0-9_-]{1,50}(/[a-z0-9_-]{1,50})?")
_KNOWN = (
    "status", "verdict", "detector", "external_id", "created_after", "created_before", "stuck", "limit", "cursor",
)  # fmt: skip


async def index(request: Request) -> Response:
    """A page of detections in their short form."""
    caller = await require(request, "detections:read")
    context = context_of(request)
    listing = f"detections/{caller.account_id}/{caller.mode}"
    wanted, page = _asked(request.query_params, context, listing)
    return JSONResponse(await context.database.read(_page, caller, wanted, page, listing, context, context.clock()))


def _page(
    session: Session, caller: Caller, wanted: Wanted, page: Page, listing: str, context: Context, now: datetime
) -> dict[str, Any]:
    page = page_of(session, caller.account_id, caller.mode, wanted, page)
    rows = list_detections(session, caller.account_id, caller.mode, wanted, page, now)
    some, more = listed(rows, page, context.tokens, listing, position=lambda row: PagePosition(row.created_at, row.id))
    return {"data": summaries(session, some, context.policy), **more}


def _asked(given: QueryParams, context: Context, listing: str) -> tuple[Wanted, Page]:
    parameters = Parameters(given, *_KNOWN)
    wanted = Wanted(
        status=parameters.word("status", DetectionStatus),
        verdict=parameters.word("verdict", Verdict),
        detector=_detector(parameters),
        external_id=parameters.text("external_id", longest=255),
        created_after=parameters.time("created_after"),
        created_before=parameters.time("created_before"),
        stuck=parameters.is_true("stuck"),
    )
    page = parameters.page(context.tokens, listing)
    parameters.check()
    return wanted, page


def _detector(parameters: Parameters) -> str | None:
    """A detector's name, by its shape: one that is no longer configured still has its detections."""
    name = parameters.text("detector", longest=100)
    if name is not None and not _DETECTOR.fullmatch(name):
        parameters.fault("detector", "must be a detector's name, for example aippim/standard")
    return name


ROUTES = [Route("/v1/detections", index, methods=["GET"])]
