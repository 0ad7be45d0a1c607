"""The body of `POST /v1/detections`: its members, its judgement, and the room's question that is made of it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic.config import JsonDict
from yarl import URL

from service.api.bodies import invalid, parse_object, url_problems, validated
from service.api.context import Context
from service.api.contract.operation import Call
from service.detections.submit import Question, unknown_names
from service.kit.errors import CallerError, Problem
from service.media.fetch import file_name
from service.verdicts.votes import Rule

_METADATA_BYTES, _METADATA_KEYS = 2048, 50
_MOST_DETECTORS = 16

Name = Annotated[str, StringConstraints(min_length=1, max_length=100)]


def _scalar(value: object) -> object:
    if value is not None and not isinstance(value, str | int | float):
        raise ValueError("must be a string, a number, true, false or null")
    return value


Scalar = Annotated[Any, AfterValidator(_scalar), WithJsonSchema({"type": ["string", "number", "boolean", "null"]})]


def _named(member: str) -> JsonDict:
    return {"required": [member], "properties": {member: {"type": "string"}}}


class SourceIn(BaseModel):
    """The source of the audio: exactly one of the two."""

    # The model says so below; this is for the document.
    model_config = ConfigDict(json_schema_extra={"oneOf": [_named("url"), _named("media_id")]})

    url: Annotated[str, StringConstraints(min_length=1, max_length=2048)] | None = None
    media_id: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> "SourceIn":
        if (self.url is None) == (self.media_id is None):
            raise ValueError("must have exactly one of url and media_id")
        return self


class DecisionIn(BaseModel):
    """The way the votes are combined."""

    rule: Rule = Rule.CONSENSUS
    quorum: Annotated[int, Field(ge=1, le=16)] = 1


class DeclaredIn(BaseModel):
    """What the uploader declared. Compared with the verdict, never counted as a vote."""

    ai: bool | None = None


class DetectionIn(BaseModel):
    """`POST /v1/detections`."""

    source: SourceIn
    detectors: Annotated[list[Name], Field(min_length=1, max_length=_MOST_DETECTORS)] | None = None
    decision: DecisionIn = DecisionIn()
    external_id: Annotated[str, StringConstraints(min_length=1, max_length=255)] | None = None
    metadata: Annotated[dict[str, Scalar], Field(max_length=_METADATA_KEYS)] = Field(default_factory=dict)
    declared: DeclaredIn | None = None
    answer_within_seconds: Annotated[int, Field(ge=30, le=86400)] = 900
    force: bool = False

    @field_validator("metadata")
    @classmethod
    def _small(cls, metadata: dict[str, Scalar]) -> dict[str, Scalar]:
        if len(json.dumps(metadata, ensure_ascii=False).encode()) > _METADATA_BYTES:
            raise ValueError(f"must have at most {_METADATA_BYTES} bytes as JSON")
        return metadata


@dataclass(frozen=True, slots=True)
class JudgedDetection:
    """A request of a sound shape. `problems` are its other faults so far: the room finds the rest."""

    fields: DetectionIn
    problems: list[Problem]


def judge_detection(raw: bytes, call: Call) -> JudgedDetection:
    """Return the request. Raise `CallerError` 400, or 422 if its shape is wrong.

    The caller learns every fault at once: so the URL and the names are judged although another member is at fault.
    """
    document, context = parse_object(raw), call.context
    try:
        fields = validated(raw, DetectionIn)
    except CallerError as error:
        others = _name_problems(document, call.caller.mode, context)
        raise invalid([*error.problems, *_source_problems(document, context), *others]) from error
    return JudgedDetection(fields, _source_problems(document, context))


def question_of(call: Call, fields: DetectionIn) -> Question:
    """Return what the room is fields."""
    return Question(
        account_id=call.caller.account_id,
        mode=call.caller.mode,
        source_url=fields.source.url,
        source_name=_name_in(fields.source.url) if fields.source.url else None,
        media_id=fields.source.media_id,
        detectors=fields.detectors or (),
        rule=fields.decision.rule,
        quorum=fields.decision.quorum,
        external_id=fields.external_id,
        metadata=fields.metadata,
        declared=fields.declared.model_dump(exclude_none=True) if fields.declared else None,
        answer_within_seconds=fields.answer_within_seconds,
        force=fields.force,
    )


def _name_in(url: str) -> str | None:
    """Return the last part of the URL's path, sanitised: in test mode its sandbox words count."""
    try:
        return file_name(URL(url))
    except ValueError:
        return None  # and the URL is refused


def _source_problems(document: Mapping[str, Any], context: Context) -> list[Problem]:
    source = document.get("source")
    url = source.get("url") if isinstance(source, dict) else None
    return url_problems(url, "/source/url", context.guard)


def _name_problems(document: Mapping[str, Any], mode: str, context: Context) -> list[Problem]:
    names = document.get("detectors")
    return unknown_names(names[:_MOST_DETECTORS], mode, context.policy.catalogue) if isinstance(names, list) else []
