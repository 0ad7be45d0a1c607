"""What many responses share: ids, times, pages, problems; and the responses to probes."""

from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

T = TypeVar("T")


def _id(prefix: str) -> Any:
    """Return the field of a TypeID: the prefix and a UUIDv7 in Crockford's base32."""
    return Field(pattern=f"^{prefix}_[0-7][0-9a-hjkmnp-tv-z]{{25}}$", examples=[f"{prefix}_01m3gnq8rvfa3ag3t7hdjs5ezh"])


MediaId = Annotated[str, _id("med")]
DetectionId = Annotated[str, _id("det")]
RunId = Annotated[str, _id("run")]
EventId = Annotated[str, _id("evt")]
EndpointId = Annotated[str, _id("we")]
DeliveryId = Annotated[str, _id("dlv")]
AttemptId = Annotated[str, _id("att")]

Time = Annotated[str, Field(json_schema_extra={"format": "date-time"}, examples=["2026-11-20T12:00:00.000Z"])]
"""RFC 3339 in UTC, with a `Z`."""
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Mode = Literal["live", "test"]


class Shown(BaseModel):
    """Part of a response. A field with a default may be absent; every other field is present, and may be null."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class Page(Shown, Generic[T]):
    """A page of a list, newest first."""

    data: list[T]
    has_more: bool
    next_cursor: str | None
    """The `cursor` of the next page; null on the last page."""


class Fault(Shown):
    """One problem of the request."""

    pointer: str
    """An RFC 6901 pointer into the body, or the name of a parameter."""
    detail: str


class Problem(Shown):
    """An error, RFC 9457. Programs decide by `code`; `detail` is for people."""

    type: Literal["about:blank"]
    title: str
    status: int
    detail: str
    code: str
    request_id: str | None
    errors: list[Fault] = []
    """Every problem at once; absent if no single member is the cause."""


class Live(Shown):
    """The process is alive."""

    status: Literal["live"]


class Ready(Shown):
    """Each check by its name. `worker` is information only: it does not affect `status`.

    `database` is `read_only` or `full` if nothing can be written to the database or the audio store.
    """

    status: Literal["ready", "not ready"]
    database: Literal["ok", "unreachable", "read_only", "full"]
    schema_: Literal["ok", "newer", "behind", "unknown"] = Field(alias="schema")
    worker: Literal["ok", "silent", "none", "unknown"]
