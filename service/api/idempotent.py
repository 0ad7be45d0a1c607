"""`Idempotency-Key` on the POSTs that create: the same request again gets the first answer again.

A door gives its work as `work(session) -> Answer`; the record is written in the same transaction. A door that judges
the request before that asks `first_answer` first: what was accepted yesterday is not refused today.
"""

import json
import re
from collections.abc import Callable
from functools import partial
from hashlib import sha256

from sqlmodel import Session
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service.accounts import idempotency
from service.accounts.api_keys import Caller
from service.accounts.idempotency import Answer, Answered, Asked
from service.api.context import context_of
from service.kit.errors import CallerError

HEADER = "idempotency-key"
_KEY = re.compile(r"[ -~]{1,255}")


async def answer_once(request: Request, caller: Caller, body: bytes, work: Callable[[Session], Answer]) -> Response:
    """What `work(session)` answered, in a transaction of its own; or, to a repeated request, the first answer.

    Raises `CallerError`: 400 for an unusable key, 422 for one that came with another request, 409 while its twin is at
    work; and whatever `work` raises, of which nothing is kept.
    """
    context, asked = context_of(request), asked_of(request, caller, body)
    if asked is None:
        return shown(await context.database.write(work))
    once = partial(idempotency.answer_once, asked=asked, work=work, sealer=context.sealer, now=context.clock())
    return again_or_new(await context.database.write(once))


async def first_answer(request: Request, caller: Caller, body: bytes) -> Response | None:
    """The first answer again, where this request came before. Raises `CallerError` 400 and 422 as `answer_once`."""
    context, asked = context_of(request), asked_of(request, caller, body)
    if asked is None:
        return None
    first = await context.database.read(idempotency.first_answer, asked, context.sealer, context.clock())
    return None if first is None else again_or_new(Answered(first, replayed=True))


def asked_of(request: Request, caller: Caller, body: bytes) -> Asked | None:
    """What is asked, if it may come again: the address, its parameters and the body; `None` without the header."""
    key = key_of(request)
    if key is None:
        return None
    # Not `request.url`: that is made with the Host header, which is whatever a caller says.
    said = json.dumps([request.scope["path"], request.scope["query_string"].decode("latin-1"), _plain(body)])
    route = f"{request.method} {request.scope['route'].path}"
    return Asked(caller.account_id, caller.mode, route, key, sha256(said.encode()).hexdigest())


def key_of(request: Request) -> str | None:
    """The caller's key; `None` without the header. Raises `CallerError` 400."""
    given = request.headers.getlist(HEADER)
    if not given:
        return None
    if len(given) > 1 or not _KEY.fullmatch(given[0]):
        detail = "Idempotency-Key is one header of 1 to 255 printable ASCII characters."
        raise CallerError("invalid_idempotency_key", detail, status=400)
    return given[0]


def again_or_new(answered: Answered) -> Response:
    """The answer, marked where it is the first one again."""
    response = shown(answered.answer)
    if answered.replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return response


def shown(answer: Answer) -> Response:
    """The answer as it leaves."""
    if answer.body is None:
        return Response(status_code=answer.status, headers=answer.headers)
    return JSONResponse(answer.body, status_code=answer.status, headers=answer.headers)


def _plain(body: bytes) -> str:
    """The body without what means nothing in JSON: space, and the order of members."""
    try:
        return json.dumps(json.loads(body), sort_keys=True, separators=(",", ":"))
    except (ValueError, RecursionError):
        return body.hex()
