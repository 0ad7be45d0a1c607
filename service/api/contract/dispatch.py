"""The one way of a request to its operation: every declaration is enforced here, in one order.

1. The API key, the rate limit and the scope (`auth`).
2. The media type and the size of a JSON body (`bodies`).
3. An earlier answer to the same idempotent request: it is sent again before anything is judged, because what was
   accepted yesterday is not refused today.
4. The query and the body, judged together: the caller learns every fault at once.
5. The transaction, or a handler that opens its own.
6. The answer: only a response that is declared leaves.
"""

from collections.abc import Iterable
from functools import partial
from typing import Any

from sqlmodel import Session
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.accounts.idempotency import ApiAnswer
from service.api.auth import require
from service.api.bodies import check_media_type, invalid, read_body, validated
from service.api.contract.idempotent import answer_once, first_answer, response_of
from service.api.contract.operation import ApiOperation, Call, Found, Query
from service.kit.errors import CallerError, Problem, bad_parameters

_SHOWN_CHARACTERS = 100
_UNPROCESSABLE = 422


class OperationRoute(Route):
    """A route made of a declaration. `operations` are all that it serves: a GET also serves the HEAD beside it."""

    def __init__(self, *operations: ApiOperation) -> None:
        first, self.operations = operations[0], operations
        endpoint = first.raw or partial(dispatch, first)
        super().__init__(first.path, endpoint, methods=[first.method], name=first.id)


def routes_of(operations: Iterable[ApiOperation]) -> list[OperationRoute]:
    """Return the routes of these operations, in order. HEAD is served by the GET before it at the same path."""
    routes: list[OperationRoute] = []
    for operation in operations:
        if operation.method == "HEAD":
            routes[-1].operations += (operation,)
        else:
            routes.append(OperationRoute(operation))
    return routes


async def dispatch(operation: ApiOperation, request: Request) -> Response:
    """Answer the request. Raise `CallerError` for everything that the declaration does not allow."""
    caller = await require(request, operation.scope or "")
    call = Call(operation, request, caller)
    if operation.body is not None and operation.takes_json:
        check_media_type(request)
        call.raw = await read_body(request) or (b"" if operation.body.required else b"{}")
        if operation.idempotent and (first := await first_answer(call)) is not None:
            return first
    _judge(call)
    if operation.handle is not None:
        return await operation.handle(call)
    if operation.idempotent:
        return await answer_once(call, partial(_answer, call=call))
    database = call.context.database
    answer = await (database.write if operation.may_write else database.read)(_answer, call)
    return response_of(answer)


def declared(operation: ApiOperation, found: Found) -> ApiAnswer:
    """Return what was found as an answer. Raise `LookupError` for a status that the operation does not declare."""
    answer = found if isinstance(found, ApiAnswer) else ApiAnswer(next(iter(operation.responses)), found)
    if answer.status not in operation.responses:
        raise LookupError(f"{operation.id} does not declare an answer with status {answer.status}")
    return answer


def _answer(session: Session, call: Call) -> ApiAnswer:
    assert call.operation.run is not None  # noqa: S101 - a declaration has one of the functions
    return declared(call.operation, call.operation.run(session, call))


def _judge(call: Call) -> None:
    problems = _judge_query(call)
    try:
        _judge_body(call)
    except CallerError as error:
        if not problems or error.status != _UNPROCESSABLE:
            raise
        raise invalid([*problems, *error.problems]) from error
    if problems:
        raise bad_parameters(problems)


def _judge_body(call: Call) -> None:
    body = call.operation.body
    if body is None or body.model is None:
        return
    call.body = body.judge(call.raw, call) if body.judge is not None else validated(call.raw, body.model)


def _judge_query(call: Call) -> list[Problem]:
    """Read the query into `call.query` and return its faults.

    Unknown and repeated parameters are faults wherever the operation declares a 422.
    """
    given = call.request.query_params
    known = {one.name: one for one in call.operation.parameters if one.location == "query"}
    problems = []
    if _UNPROCESSABLE in call.operation.error_statuses:
        problems = [Problem(name[:_SHOWN_CHARACTERS], why) for name in given if (why := _refusal(name, call, known))]
    values: dict[str, Any] = {}
    for name, parameter in known.items():
        values[name] = parameter.default
        text = given.get(name)
        if text is None or parameter.parse is None:
            continue
        try:
            values[name] = parameter.parse(text, call)
        except ValueError as error:
            problems.append(Problem(name, str(error)))
    call.query = Query(values)
    return problems


def _refusal(name: str, call: Call, known: Iterable[str]) -> str | None:
    if name not in known:
        return f"unknown query parameter; allowed: {', '.join(known) or 'none'}"
    return "must be given once" if len(call.request.query_params.getlist(name)) > 1 else None
