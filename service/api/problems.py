"""Every answer that is a refusal or a failure: `application/problem+json`, RFC 9457.

`type` is `about:blank`, so `title` is the status's own phrase; our word for what went wrong is `code`. What a room
has to say comes as `CallerError`. Our own failures are logged whole and shown as nothing but a request id.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import structlog
from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from service.api.addresses import allowed_methods, no_such_address
from service.api.headers import HEADER, request_id_of
from service.kit.errors import CallerError, Overdue, Problem
from service.kit.faults import Fault, fault_of
from service.kit.telemetry.failing import Failing

_log = structlog.get_logger()
_NO_SUCH_ADDRESS, _NO_SUCH_METHOD = 404, 405
FAULTS = Failing("request.unavailable", traceback=False)

MAX_PROBLEMS = 100
_A_TIME = "must be a time with its zone, for example 2026-11-20T12:00:00Z"
_LONGEST_KEY = 255
WORDS = {
    "missing": "is required",
    "extra_forbidden": "is not a known field",
    "string_type": "must be a string",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "list_type": "must be an array",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "none_required": "must be null",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have at least {min_length} members",
    "too_long": "must have at most {max_length} members",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be one of {expected}",
    "enum": "must be one of {expected}",
    "string_pattern_mismatch": "must match {pattern}",
    "datetime_type": _A_TIME,
    "datetime_parsing": _A_TIME,
    "datetime_from_date_parsing": _A_TIME,
    "datetime_object_invalid": _A_TIME,
    "timezone_aware": _A_TIME,
}
"""Pydantic's error types in plain words; whatever is not listed keeps pydantic's own."""


_PASSING = {
    Fault.UNAVAILABLE: ("The database does not answer.", 5),
    Fault.OVERLOADED: ("The service is overloaded.", 2),
    Fault.READ_ONLY: ("The service cannot write at the moment.", 30),
    Fault.FULL: ("The service has no storage left.", 60),
}
"""By fault: what the caller reads, and after how many seconds it may come again."""


class ProblemResponse(JSONResponse):
    """A JSON answer of the problem type."""

    media_type = "application/problem+json"


def problem(
    request: Request,
    status: int,
    code: str,
    detail: str,
    *,
    problems: Sequence[Problem] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return the response for one error. `errors` is present only if single members of the request are at fault."""
    request_id = request_id_of(request)
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": _phrase(status),
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": request_id,
    }
    if problems:
        body["errors"] = [{"pointer": each.pointer, "detail": each.detail} for each in problems]
    known = {"Cache-Control": "no-store"} | ({HEADER: request_id} if request_id else {})
    return ProblemResponse(body, status_code=status, headers=known | dict(headers or {}))


async def on_caller_error(request: Request, error: Exception) -> Response:
    """Return the response for a `CallerError`, in the words of the room that raised it."""
    if not isinstance(error, CallerError):
        raise error
    return problem(request, error.status, error.code, error.detail, problems=error.problems, headers=error.headers)


async def on_http_exception(request: Request, error: Exception) -> Response:
    """Return the response for an unknown path or method."""
    if not isinstance(error, HTTPException):
        raise error
    status = error.status_code
    code, detail, headers = re.sub(r"[^a-z]+", "_", _phrase(status).lower()), error.detail, error.headers
    if status == _NO_SUCH_ADDRESS:
        detail = no_such_address(request)
    elif status == _NO_SUCH_METHOD:
        allowed = ", ".join(allowed_methods(request))
        detail, headers = f"This path does not support this method. Supported: {allowed}.", {"Allow": allowed}
    return problem(request, status, code, detail, headers=headers)


async def on_disconnect(request: Request, _error: Exception) -> Response:
    """Return a 400 that no caller reads: the connection was closed in the middle of the request."""
    return problem(request, 400, "request_incomplete", "The request ended before its body was complete.")


async def on_fault(request: Request, error: Exception) -> Response:
    """Return a 503 that says when to retry, for a temporary fault; raise anything else again, for `on_failure`."""
    fault = fault_of(error)
    if fault is None:
        raise error
    FAULTS.failed(error, fault=fault.value, path=_path(request))
    told, seconds = _PASSING[fault]
    detail = f"{told} Send the request again later; with an Idempotency-Key it has no effect twice."
    return problem(request, 503, fault.value, detail, headers={"Retry-After": str(seconds)})


async def on_failure(request: Request, error: Exception) -> Response:
    """Return a 500 that shows nothing; everything is in the log."""
    _log.error(
        "request.failed", method=request.method, path=_path(request), request_id=request_id_of(request), exc_info=error
    )
    detail = "Internal error. The request id identifies it in the logs."
    # The server hangs up after a failure; a client that is not told would send its next request into the void.
    return problem(request, 500, "internal_error", detail, headers={"Connection": "close"})


def problems_of(error: ValidationError, document: Any) -> tuple[Problem, ...]:
    """Return every fault that pydantic found in `document` (at most a hundred), each with a pointer to its member.

    `ValidationError` itself has no handler: one that an operation lets out is our fault, not the caller's.
    """
    faults = error.errors(include_url=False, include_input=False)
    found = (Problem(pointer(_within(document, fault["loc"])), _told(fault)) for fault in faults)
    return tuple(dict.fromkeys(found))[:MAX_PROBLEMS]


def pointer(keys: Iterable[str | int]) -> str:
    """Return the RFC 6901 pointer along these keys. Long names are shortened: the answer must stay small."""
    return "".join(f"/{str(key)[:_LONGEST_KEY].replace('~', '~0').replace('/', '~1')}" for key in keys)


def _within(document: Any, loc: Sequence[str | int]) -> list[str | int]:
    """Return `loc` without the branches of unions and the validators, which are not part of the document."""
    keys: list[str | int] = []
    at = document
    for key in loc:
        if _has(at, key):
            at = at[key]
            keys.append(key)
        elif isinstance(at, dict) and key == loc[-1] and not str(key).startswith("["):
            keys.append(key)  # the member that is missing
    return keys


def _has(value: Any, key: str | int) -> bool:
    if isinstance(value, list):
        return isinstance(key, int) and key < len(value)
    return isinstance(value, dict) and key in value


def _told(fault: Mapping[str, Any]) -> str:
    words = WORDS.get(fault["type"])
    if words is not None:
        return words.format_map(fault.get("ctx", {}))
    return str(fault["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")


HANDLERS: dict[Any, Any] = {
    CallerError: on_caller_error,
    HTTPException: on_http_exception,
    ClientDisconnect: on_disconnect,
    DBAPIError: on_fault,
    PoolTimeout: on_fault,
    Overdue: on_fault,
    OSError: on_fault,
    Exception: on_failure,
}
"""For Starlette's `exception_handlers`, beside SQLite."""


def handlers_beside_postgres() -> dict[Any, Any]:
    """Return the same beside PostgreSQL, whose driver's errors not all come wrapped."""
    import psycopg  # noqa: PLC0415 - SQLite does without it

    return {**HANDLERS, psycopg.Error: on_fault}


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def _path(request: Request) -> str:
    """Return the route's pattern, if there is a route: the path itself may contain a token."""
    route = request.scope.get("route")
    return getattr(route, "path", "")
