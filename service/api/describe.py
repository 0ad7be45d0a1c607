"""The words an operation of the API is described in. What is said of each door: `described`; the document: `openapi`.

A description names what is particular to its door. What follows from that (a key means 401, 403 and 429; a JSON body
400, 408, 413, 415 and 422; a name in the path 404) is added by `problems_of`, once for all.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter. A query's or a header's may be left out; a path's may not."""

    name: str
    text: str
    schema: Schema
    place: Literal["query", "header"] = "query"


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """What is sent. `model`: a JSON object; else `content`, by media type."""

    model: type[BaseModel] | None = None
    content: Mapping[str, Schema] = field(default_factory=dict)
    required: bool = True
    example: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What comes back. `model`: a JSON object, or one of `short`; else `content`, by media type; none: no body."""

    text: str
    model: type[BaseModel] | None = None
    short: type[BaseModel] | None = None
    content: Mapping[str, Schema] = field(default_factory=dict)
    headers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method at one address. `scope`: what the API key must carry; `None` where no key is asked for."""

    id: str
    tag: Tag
    summary: str
    answers: Mapping[int, Answer]
    text: str = ""
    scope: str | None = None
    parameters: tuple[Parameter, ...] = ()
    body: Body | None = None
    once: bool = False  # takes an Idempotency-Key
    refusals: tuple[int, ...] = ()  # besides those that follow from the rest


Described = dict[tuple[str, str], Operation]
"""By method and path, as the route has it."""


def problems_of(operation: Operation, path: str) -> list[int]:
    """Every status this operation refuses with, in order."""
    found = {414, 431, *operation.refusals}  # the server itself refuses a head that is too large
    if operation.scope is not None:
        found |= {401, 403, 429, 503}
    if any(parameter.place == "query" for parameter in operation.parameters):
        found.add(422)
    if operation.body is not None and operation.body.model is not None:
        found |= {400, 408, 413, 415, 422}
    if operation.once:
        found |= {400, 409, 422}
    if "{" in path:
        found.add(404)
    return sorted(found)
