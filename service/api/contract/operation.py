"""The declaration of one operation: `dispatch` enforces it, and `document` describes it in OpenAPI.

A declaration names what is particular to its operation. What follows from that (a scope means 401, 403 and 429; a
JSON body 400, 408, 413, 415 and 422; an id in the path 404) is added by `error_statuses`, once for all operations.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel
from sqlmodel import Session
from starlette.requests import Request
from starlette.responses import Response

from service.accounts.api_keys import Caller
from service.accounts.idempotency import ApiAnswer
from service.api.context import Context, context_of

T = TypeVar("T")
Schema = Mapping[str, Any]


class Tag(StrEnum):
    """The chapters of the document, in their order."""

    MEDIA = "Media"
    DETECTIONS = "Detections"
    EVENTS = "Events"
    ENDPOINTS = "Webhook endpoints"
    DELIVERIES = "Deliveries"
    DETECTORS = "Detectors"
    OPERATING = "Operating"
    VENDORS = "For vendors"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Parameter(Generic[T]):
    """One optional parameter of a query, or a header.

    `parse(text, call)` returns its value, and raises `ValueError` with a text for the caller. A header is only
    described here: its handler reads it.
    """

    name: str
    text: str
    schema: Schema
    parse: "Callable[[str, Call], T] | None" = None
    default: T | None = None
    location: Literal["query", "header"] = "query"


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """The body of a request. `model`: a JSON object; without one `content`, by media type, which its handler reads.

    `judge(raw, call)` replaces the validation by `model` alone, and returns what the operation finds as `call.body`.
    """

    model: type[BaseModel] | None = None
    judge: "Callable[[bytes, Call], Any] | None" = None
    content: Mapping[str, Schema] = field(default_factory=dict)
    required: bool = True
    example: Mapping[str, Any] | None = None


class NothingIn(BaseModel):
    """A request without fields. The body may be absent, or an empty object."""


NO_FIELDS = Body(model=NothingIn, required=False)


@dataclass(frozen=True, slots=True)
class ResponseSpec:
    """One response. `model` names a class of `schemas` as `module.Class`; it is imported only for the document.

    Without a model the body is `content`, by media type; without either there is none. `short`: a second model that
    the body may have.
    """

    text: str
    model: str | None = None
    _: KW_ONLY
    short: str | None = None
    content: Mapping[str, Schema] = field(default_factory=dict)
    headers: tuple[str, ...] = ()


class Query:
    """The judged query parameters of one request, by the declarations of its operation."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def __getitem__(self, parameter: Parameter[T]) -> T:
        """Return the parameter's value, or its default. Raise `KeyError` if the operation does not declare it."""
        value: T = self._values[parameter.name]
        return value


@dataclass(slots=True)
class Call:
    """One request under way, and what `dispatch` found out about it so far."""

    operation: "ApiOperation"
    request: Request
    caller: Caller
    raw: bytes = b""
    body: Any = None
    query: Query = field(default_factory=lambda: Query({}))

    @property
    def context(self) -> Context:
        """What the process has open."""
        return context_of(self.request)

    @property
    def path(self) -> Mapping[str, str]:
        """The parameters in the path."""
        return self.request.path_params

    @property
    def owner(self) -> tuple[str, str]:
        """The account's id and the mode: every object belongs to such a pair."""
        return self.caller.account_id, self.caller.mode

    @property
    def target(self) -> tuple[str, str, str]:
        """The owner, and the one id in the path."""
        (object_id,) = self.path.values()
        return (*self.owner, object_id)

    @property
    def now(self) -> datetime:
        """The time by the process's clock."""
        return self.context.clock()


Found = ApiAnswer | dict[str, Any] | None
"""An answer; or the body of the first declared response; or none, for a response without a body."""


@dataclass(frozen=True, slots=True, eq=False)
class ApiOperation:
    """One method at one path: what it takes, what it answers, and the function that does it.

    Exactly one function is given. `run(session, call)` is called inside a transaction, which may write unless the
    method is GET; `writes` allows a GET to write as well. `handle(call)` is for streams, uploads and what talks to
    others: it is called after the key, the scope, the query and a JSON body were judged, and opens its own
    transactions. `raw(request)` gets the request as it came; only it may go without a scope.
    """

    method: str
    path: str
    _: KW_ONLY
    id: str
    tag: Tag
    summary: str
    responses: Mapping[int, ResponseSpec]
    text: str = ""
    scope: str | None = None
    parameters: tuple[Parameter[Any], ...] = ()
    body: Body | None = None
    idempotent: bool = False
    """True if the operation takes an `Idempotency-Key`."""
    errors: tuple[int, ...] = ()
    """Statuses beside those that follow from the rest."""
    run: Callable[[Session, Call], Found] | None = None
    handle: Callable[[Call], Awaitable[Response]] | None = None
    raw: Callable[[Request], Awaitable[Response]] | None = None
    writes: bool = False

    def __post_init__(self) -> None:
        """Raise `ValueError` for a declaration that contradicts itself."""
        if sum(function is not None for function in (self.run, self.handle, self.raw)) != 1:
            raise ValueError(f"{self.id} needs one of run, handle and raw")
        if (self.scope is None) != (self.raw is not None):
            raise ValueError(f"{self.id}: a scope is enforced for run and handle, and for nothing else")

    @property
    def takes_json(self) -> bool:
        """True if the body is a JSON object of ours."""
        return self.body is not None and self.body.model is not None

    @property
    def may_write(self) -> bool:
        """True if `run` is called in a transaction that is committed."""
        return self.writes or self.method != "GET"

    @property
    def error_statuses(self) -> list[int]:
        """Every status that the operation refuses with, in order."""
        found = {414, 431, *self.errors}  # the server itself refuses a head that is too large
        if self.scope is not None:
            found |= {401, 403, 429, 503}
        if any(parameter.location == "query" for parameter in self.parameters):
            found.add(422)
        if self.takes_json:
            found |= {400, 408, 413, 415, 422}
        if self.idempotent:
            found |= {400, 409, 422}
        if "{" in self.path:
            found.add(404)
        return sorted(found)
