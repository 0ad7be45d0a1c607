"""`/v1/detections`: a question comes in, its answer is read."""

import asyncio
import contextlib
import json
import re
from collections.abc import Mapping
from functools import partial
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
from sqlmodel import Session
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from yarl import URL

from service.accounts.api_keys import Caller
from service.accounts.idempotency import Answer
from service.api.auth import require
from service.api.bodies import check_media_type, invalid, parse_object, read_body, validated
from service.api.context import Context, context_of
from service.api.idempotent import answer_once, first_answer
from service.detections.queries import find_detection, first_result, has_ended, result_of
from service.detections.submit import Question, submit, unknown_names
from service.kit.concurrency.wake import Sleeper
from service.kit.errors import CallerError, Problem, bad_parameters, not_found
from service.kit.http.guarded import MAX_URL_CHARACTERS, RefusedUrl, check_url
from service.media.fetch import file_name
from service.runs.topics import topic_of
from service.verdicts.votes import Rule

_METADATA_BYTES, _METADATA_KEYS = 2048, 50
_LONGEST_WAIT = 25
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
    """Where the audio is: exactly one of the two."""

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
    """How the votes are combined."""

    rule: Rule = Rule.CONSENSUS
    quorum: Annotated[int, Field(ge=1, le=16)] = 1


class DeclaredIn(BaseModel):
    """What the uploader said. Compared with the verdict, never counted."""

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


async def create(request: Request) -> Response:
    """202 with the detection, queued."""
    caller = await require(request, "detections:write")
    context = context_of(request)
    check_media_type(request)
    raw = await read_body(request)
    if (first := await first_answer(request, caller, raw)) is not None:
        return first
    asked, problems = judge(raw, caller.mode, context)
    if asked is None:
        raise invalid(problems)
    if asked.source.url is not None:
        await context.rooms.check(caller.account_id)
    work = partial(_submit, question=_question(caller, asked), problems=problems, context=context)
    return await answer_once(request, caller, raw, work)


async def read(request: Request) -> Response:
    """The result; with `?wait=` once it is final, after so many seconds, or when this process ends."""
    caller = await require(request, "detections:read")
    context, detection_id = context_of(request), request.path_params["detection_id"]
    wait, full, revision = _reading(request.query_params)
    loop = asyncio.get_running_loop()
    until, waits = loop.time() + wait, False
    sleeper = Sleeper(context.database.wake, topic_of(detection_id))
    with contextlib.ExitStack() as held:
        held.callback(sleeper.end)
        while True:
            sleeper.reset()
            found = await context.database.read(_find, caller, detection_id, context, full=full, revision=revision)
            if found is None:
                raise not_found("detection")
            ended, result = found
            left = until - loop.time()
            if ended or left <= 0 or context.shutdown.begun:
                return JSONResponse(result)
            if not waits:
                waits = True
                held.enter_context(context.held.one_more(caller.key_id))
            await sleeper.sleep(left)


def judge(raw: bytes, mode: str, context: Context) -> tuple[DetectionIn | None, list[Problem]]:
    """The request, if its shape is sound, and what is wrong with it so far. Raises `CallerError` where it is no JSON.

    A caller is told everything at once: so the URL and the names are judged although another member is at fault.
    """
    document = parse_object(raw)
    try:
        asked = validated(raw, DetectionIn)
    except CallerError as error:
        return None, [*error.problems, *_source_problems(document, context), *_name_problems(document, mode, context)]
    return asked, _source_problems(document, context)


def _submit(session: Session, question: Question, problems: list[Problem], context: Context) -> Answer:
    try:
        submitted = submit(session, question, context.policy, context.clock())
    except CallerError as error:
        raise invalid([*problems, *error.problems]) from error
    if problems:
        raise invalid(problems)  # and nothing of it is kept
    result = first_result(session, submitted, context.policy)
    return Answer(202, result, {"Location": f"/v1/detections/{submitted.id}"})


def _find(
    session: Session, caller: Caller, detection_id: str, context: Context, *, full: bool, revision: int | None
) -> tuple[bool, dict[str, Any]] | None:
    detection = find_detection(session, caller.account_id, caller.mode, detection_id)
    if detection is None:
        return None
    result = result_of(session, detection, context.policy, full=full, revision=revision)
    return revision is not None or has_ended(detection), result


def _question(caller: Caller, asked: DetectionIn) -> Question:
    return Question(
        account_id=caller.account_id,
        mode=caller.mode,
        source_url=asked.source.url,
        source_name=_name_in(asked.source.url) if asked.source.url else None,
        media_id=asked.source.media_id,
        detectors=asked.detectors or (),
        rule=asked.decision.rule,
        quorum=asked.decision.quorum,
        external_id=asked.external_id,
        metadata=asked.metadata,
        declared=asked.declared.model_dump(exclude_none=True) if asked.declared else None,
        answer_within_seconds=asked.answer_within_seconds,
        force=asked.force,
    )


def _name_in(url: str) -> str | None:
    """The last part of the URL's path, made harmless: in test mode its sandbox words count."""
    try:
        return file_name(URL(url))
    except ValueError:
        return None  # and the URL is refused


def _source_problems(document: Mapping[str, Any], context: Context) -> list[Problem]:
    source = document.get("source")
    url = source.get("url") if isinstance(source, dict) else None
    if not isinstance(url, str) or not 0 < len(url) <= MAX_URL_CHARACTERS:
        return []
    try:
        check_url(url, context.guard)
    except RefusedUrl as refused:
        return [Problem("/source/url", refused.reason)]
    return []


def _name_problems(document: Mapping[str, Any], mode: str, context: Context) -> list[Problem]:
    names = document.get("detectors")
    return unknown_names(names[:_MOST_DETECTORS], mode, context.policy.catalogue) if isinstance(names, list) else []


def _reading(parameters: Mapping[str, str]) -> tuple[int, bool, int | None]:
    """`wait` in seconds, whether the full result is wanted, and which revision, if an older one.

    Raises `CallerError` 422 naming each fault.
    """
    problems = []
    wait, detail = parameters.get("wait", "0"), parameters.get("detail", "full")
    revision = parameters.get("revision")
    if not re.fullmatch(r"[0-9]{1,2}", wait) or int(wait) > _LONGEST_WAIT:
        problems.append(Problem("wait", f"must be a whole number of seconds from 0 to {_LONGEST_WAIT}"))
    if detail not in ("full", "summary"):
        problems.append(Problem("detail", "must be full or summary"))
    if revision is not None and not re.fullmatch(r"[1-9][0-9]{0,5}", revision):
        problems.append(Problem("revision", "must be a whole number from 1"))
    if problems:
        raise bad_parameters(problems)
    return int(wait), detail == "full", int(revision) if revision else None


ROUTES = [
    Route("/v1/detections", create, methods=["POST"]),
    Route("/v1/detections/{detection_id}", read, methods=["GET"]),
]
