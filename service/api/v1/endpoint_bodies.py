"""What may be asked of an endpoint: its members, judged strictly, and its URL by the guard as well."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, AwareDatetime, BaseModel, Field, StringConstraints, WithJsonSchema

from service.api.bodies import invalid, parse_object, url_problems, validated
from service.api.contract.operation import Call
from service.events.types import FAMILIES, EventType, is_filter, why_no_filter
from service.kit.errors import CallerError, Problem
from service.webhooks.endpoints.rotate import LONGEST_OVERLAP, USUAL_OVERLAP
from service.webhooks.queue.requeue import Choice

M = TypeVar("M", bound=BaseModel)

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")  # RFC 9110 §5.6.2
_HEADER_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,998}[\x21-\x7e])?")
_OURS = frozenset({
    "accept-encoding", "connection", "content-encoding", "content-length", "content-type", "expect", "host",
    "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "user-agent",
})  # fmt: skip
_MOST_HEADERS = 20


def _pattern(whole: re.Pattern[str]) -> dict[str, str]:
    return {"type": "string", "pattern": f"^(?:{whole.pattern})$"}


def _event_filter(text: str) -> str:
    if not is_filter(text):
        raise ValueError(why_no_filter(text))
    return text


def _header_name(name: str) -> str:
    if not _HEADER_NAME.fullmatch(name):
        raise ValueError("must be a valid header name")
    if name.lower() in _OURS or name.lower().startswith("webhook-"):
        raise ValueError(f"{name} is set by the service")
    return name


def _header_value(value: str) -> str:
    if not _HEADER_VALUE.fullmatch(value):
        raise ValueError("must be printable ASCII, at most 1000 characters, without a space at either end")
    return value


def _each_once(headers: dict[str, str]) -> dict[str, str]:
    """Raise where two names are one header: case makes no difference (RFC 9110 §5.1), and only one could be sent."""
    alike: dict[str, list[str]] = {}
    for name in headers:
        alike.setdefault(name.lower(), []).append(name)
    if doubled := [", ".join(names) for names in alike.values() if len(names) > 1]:
        raise ValueError(f"has the same header more than once (names differ only by case): {'; '.join(doubled)}")
    return headers


EventFilter = Annotated[str, AfterValidator(_event_filter), WithJsonSchema({"enum": ["*", *FAMILIES, *EventType]})]
HeaderName = Annotated[str, AfterValidator(_header_name), WithJsonSchema(_pattern(_HEADER_NAME))]
HeaderValue = Annotated[str, AfterValidator(_header_value), WithJsonSchema(_pattern(_HEADER_VALUE))]

Url = Annotated[str, StringConstraints(min_length=1, max_length=2048)]
Events = Annotated[list[EventFilter], Field(min_length=1, max_length=50)]
Description = Annotated[str, StringConstraints(max_length=1000)]
Headers = Annotated[dict[HeaderName, HeaderValue], Field(max_length=_MOST_HEADERS), AfterValidator(_each_once)]
Rate = Annotated[int, Field(ge=1, le=10_000)]


def _without_default(schema: dict[str, Any]) -> None:
    """Leave out the default of a member that may be absent and has none: it only fills the model."""
    schema.pop("default", None)


class EndpointIn(BaseModel):
    """`POST /v1/webhook-endpoints`."""

    url: Url
    events: Events
    description: Description | None = None
    headers: Headers = Field(default_factory=dict)
    rate_limit_per_second: Rate | None = None
    disabled: bool = False


class EndpointChanges(BaseModel):
    """`PATCH /v1/webhook-endpoints/{id}`: absent members stay unchanged; null clears a member that may be null."""

    url: Url = Field(default="", json_schema_extra=_without_default)
    events: Events = Field(default_factory=list)
    description: Description | None = None
    headers: Headers | None = None
    rate_limit_per_second: Rate | None = None

    def named(self) -> dict[str, Any]:
        """Return the members that the request contains."""
        return self.model_dump(exclude_unset=True)


def judge_endpoint(model: type[M], raw: bytes, call: Call) -> M:
    """Return the body as `model`. Raise `CallerError` with every fault, also those the guard finds in the URL."""
    refused = url_problems(parse_object(raw).get("url"), "/url", call.context.guard)
    try:
        fields = validated(raw, model)
    except CallerError as error:
        known = {problem.pointer for problem in error.problems}
        raise invalid([*error.problems, *(each for each in refused if each.pointer not in known)]) from error
    if refused:
        raise invalid(refused)
    return fields


def _in_utc(at: datetime) -> datetime:
    try:
        return at.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("is not a valid time in UTC") from error


Time = Annotated[AwareDatetime, AfterValidator(_in_utc)]


class EnableIn(BaseModel):
    """`POST …/enable`."""

    release: Choice = "all"


class RotateIn(BaseModel):
    """`POST …/rotate-secret`."""

    overlap_seconds: Annotated[int, Field(ge=0, le=int(LONGEST_OVERLAP.total_seconds()))] = int(
        USUAL_OVERLAP.total_seconds()
    )


class RecoverIn(BaseModel):
    """`POST …/recover`."""

    since: Time
    until: Time | None = None


def judge_recover(raw: bytes, _call: Call) -> RecoverIn:
    """Return the body. Raise `CallerError` with every fault."""
    fields = validated(raw, RecoverIn)
    if fields.until is not None and fields.until <= fields.since:
        raise invalid([Problem("/until", "must be later than since")])
    return fields
