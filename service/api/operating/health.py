"""Probes: the process is alive, and it can do its work."""

import asyncio
import re
from datetime import timedelta

from sqlalchemy import text
from sqlmodel import Session
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service.api.context import Context, context_of
from service.api.contract.dispatch import routes_of
from service.api.contract.operation import ApiOperation, ResponseSpec, Tag
from service.api.contract.parameters import header
from service.api.operating.waits import workers
from service.kit.faults import Fault
from service.kit.schema.revisions import is_known, revision_in

_PATIENCE_SECONDS = 5
_FRESH = timedelta(seconds=60)
_SERVED = ("ok", "newer")
_WORDS = {Fault.READ_ONLY: "read_only", Fault.FULL: "full"}
_NONCE = re.compile(r"[A-Za-z0-9_-]{1,64}")
NONCE, PROOF, PURPOSE = "x-relay-nonce", "x-relay-proof", "who-answers"


async def livez(request: Request) -> Response:
    """Answer 200 as long as the event loop turns. Sign `X-Relay-Nonce`, to prove that this service answers."""
    nonce, headers = request.headers.get(NONCE, ""), {}
    if _NONCE.fullmatch(nonce):
        headers = {PROOF: context_of(request).tokens.sign(PURPOSE, [nonce], expires_at=None)}
    return JSONResponse({"status": "live"}, headers=headers)


async def readyz(request: Request) -> Response:
    """Answer 200 if the database answers within five seconds, has our tables and takes writes, else 503.

    A schema newer than this code is ready too: while a release replaces processes, the old ones still serve.
    `worker` is information only: a web process can accept work while no worker runs.
    """
    checks = {"database": "unreachable", "schema": "unknown", "worker": "unknown"}
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            context = context_of(request)
            checks = await context.database.read(_look, context)
            if checks["schema"] in _SERVED:
                fault = await context.writable.fault(context.database, context.store, context.staging)
                checks["database"] = "ok" if fault is None else _WORDS.get(fault, "unreachable")
    except Exception:  # noqa: BLE001 - whatever is wrong, the answer is the same
        checks["database"] = "unreachable"
    ready = checks["database"] == "ok" and checks["schema"] in _SERVED
    return JSONResponse({"status": "ready" if ready else "not ready", **checks}, status_code=200 if ready else 503)


def _look(session: Session, context: Context) -> dict[str, str]:
    session.connection().execute(text("SELECT 1"))
    schema = _schema(session)
    return {
        "database": "ok",
        "schema": schema,
        "worker": _worker(session, context) if schema in _SERVED else "unknown",
    }


def _schema(session: Session) -> str:
    """Return `ok`, `newer` than this code, or `behind` it."""
    revision = revision_in(session.connection())
    if revision is None:
        return "behind"
    known, is_head = is_known(revision)
    return "ok" if is_head else "behind" if known else "newer"


def _worker(session: Session, context: Context) -> str:
    """Return `ok` after a heartbeat within a minute, `silent` without a recent one, `none` without any."""
    now = context.clock()
    seen = workers(session, now)
    if not seen:
        return "none"
    return "ok" if now - seen[0].heartbeat_at < _FRESH else "silent"


ROUTES = routes_of([
    ApiOperation(
        "GET", "/livez", id="isLive", tag=Tag.OPERATING, raw=livez,
        summary="Check that the process is alive",
        parameters=(
            header(
                "X-Relay-Nonce",
                "Returned signed in `X-Relay-Proof`, so that `relay doctor` knows which service answered. 1 to 64 "
                "letters, digits, `-` and `_`; any other value is not signed.",
            ),
        ),
        responses={200: ResponseSpec("The process is alive.", "common.Live", headers=("X-Relay-Proof",))},
    ),
    ApiOperation(
        "GET", "/readyz", id="isReady", tag=Tag.OPERATING, raw=readyz,
        summary="Check that the process can do its work",
        responses={
            200: ResponseSpec("The process is ready.", "common.Ready"),
            503: ResponseSpec(
                "Not ready: the database does not answer, accepts no writes, or its schema is older than this code.",
                "common.Ready",
            ),
        },
    ),
])  # fmt: skip
