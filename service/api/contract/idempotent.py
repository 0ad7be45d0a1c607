"""`Idempotency-Key` on the operations that create: the same request again gets the first answer again.

An operation gives its work as `work(session) -> ApiAnswer`; the record is written in the same transaction.
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
from service.accounts.idempotency import ApiAnswer, IdempotentAnswer, RequestIdentity
from service.api.contract.operation import Call
from service.kit.errors import CallerError

HEADER = "idempotency-key"
_KEY = re.compile(r"[ -~]{1,255}")


async def answer_once(call: Call, work: Callable[[Session], ApiAnswer]) -> Response:
    """Return the answer of `work(session)`, called in a transaction of its own; the first answer to a repeated request.

    Raise `CallerError`: 400 for an unusable key, 422 for one that came with another request, 409 while the same
    request is in progress; and whatever `work` raises, of which nothing is kept.
    """
    context, asked = call.context, asked_of(call, call.raw)
    if asked is None:
        return response_of(await context.database.write(work))
    once = partial(idempotency.answer_once, asked=asked, work=work, sealer=context.sealer, now=context.clock())
    return again_or_new(await context.database.write(once))


async def first_answer(call: Call) -> Response | None:
    """Return the first answer again, if this request came before. Raise `CallerError` 400 and 422 as `answer_once`."""
    context, asked = call.context, asked_of(call, call.raw)
    if asked is None:
        return None
    first = await context.database.read(idempotency.first_answer, asked, context.sealer, context.clock())
    return None if first is None else again_or_new(IdempotentAnswer(first, replayed=True))


def asked_of(call: Call, body: bytes) -> RequestIdentity | None:
    """Return what identifies the request: its path, query and body; `None` without the header."""
    key = key_of(call.request)
    if key is None:
        return None
    # Not `request.url`: that is made with the Host header, which is whatever a caller says.
    scope = call.request.scope
    said = json.dumps([scope["path"], scope["query_string"].decode("latin-1"), _canonical(body)])
    route = f"{call.request.method} {call.operation.path}"
    return RequestIdentity(*call.owner, route, key, sha256(said.encode()).hexdigest())


def key_of(request: Request) -> str | None:
    """Return the caller's key; `None` without the header. Raise `CallerError` 400 for an unusable one."""
    given = request.headers.getlist(HEADER)
    if not given:
        return None
    if len(given) > 1 or not _KEY.fullmatch(given[0]):
        detail = "Idempotency-Key must be one header of 1 to 255 printable ASCII characters."
        raise CallerError("invalid_idempotency_key", detail, status=400)
    return given[0]


def again_or_new(answered: IdempotentAnswer) -> Response:
    """Return the answer as a response, marked if it is the first one again."""
    response = response_of(answered.answer)
    if answered.replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return response


def response_of(answer: ApiAnswer) -> Response:
    """Return the answer as it leaves."""
    if answer.body is None:
        return Response(status_code=answer.status, headers=answer.headers)
    return JSONResponse(answer.body, status_code=answer.status, headers=answer.headers)


def _canonical(body: bytes) -> str:
    """Return the body without what means nothing in JSON: space, and the order of members."""
    try:
        return json.dumps(json.loads(body), sort_keys=True, separators=(",", ":"))
    except (ValueError, RecursionError):
        return body.hex()
