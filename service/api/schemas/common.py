"""What many answers share: ids, times, pages, problems."""

from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

T = TypeVar("T")


def _id(prefix: str) -> Any:
    """A TypeID: the prefix and a UUIDv7 in Crockford's base32."""
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
    """Part of an answer. A field with a default may be absent; every other is always there, and may be null."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class Page(Shown, Generic[T]):
    """Some of a list, newest first."""

    data: list[T]
    has_more: bool
    next_cursor: str | None
    """For `?cursor=`, to read on; null on the last page."""


class Fault(Shown):
    """One thing wrong with the request."""

    pointer: str
    """An RFC 6901 pointer into the body, or the name of a parameter."""
    detail: str


class Problem(Shown):
    """A refusal or a failure, RFC 9457. `code` is the word to act on; `detail` is for people."""

    type: Literal["about:blank"]
    title: str
    status: int
    detail: str
    code: str
    request_id: str | None
    errors: list[Fault] = []
    """Every fault at once; absent where no single member is at fault."""
