"""JSON bodies, read strictly: what two parsers could read differently is refused, and every fault is named at once.

The text is parsed by `kit/strict_json`; here half of a surrogate pair and too much depth are found, with their place.
Then a pydantic model judges the members.
"""

import asyncio
import contextlib
import json
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from service.api.problems import MAX_PROBLEMS, pointer, problems_of
from service.kit.errors import CallerError, Problem
from service.kit.http.guard import GuardPolicy
from service.kit.http.guarded import MAX_URL_CHARACTERS, RefusedUrl, check_url
from service.kit.strict_json import MAX_DEPTH, NotStrictError, decode

M = TypeVar("M", bound=BaseModel)
_Path = tuple[()] | tuple["_Path", str | int]

_LENGTH = re.compile(r"[0-9]{1,18}")
MAX_BODY_BYTES = 1_048_576
BODY_SECONDS = 20
STRANGERS_SECONDS = 5
_UNKEEPABLE = "U+0000 or unpaired surrogates"


def validated(raw: bytes, model: type[M]) -> M:
    """Return `raw` as `model`. Raise `CallerError` 400 or 422."""
    document = parse_object(raw)
    try:
        return model.model_validate_json(raw, strict=True, extra="forbid")
    except ValidationError as error:
        raise invalid(problems_of(error, document)) from error


def invalid(problems: Sequence[Problem]) -> CallerError:
    """Return the 422 for these faults."""
    return CallerError(
        "invalid_request", "The request is invalid. `errors` lists every problem.", problems=tuple(problems)
    )


def url_problems(url: object, at: str, guard: GuardPolicy) -> list[Problem]:
    """Return what the guard finds wrong with the URL at this pointer. Its type and size are for the model to judge."""
    if not isinstance(url, str) or not 0 < len(url) <= MAX_URL_CHARACTERS:
        return []
    try:
        check_url(url, guard)
    except RefusedUrl as refused:
        return [Problem(at, refused.reason)]
    return []


async def read_body(request: Request, *, max_bytes: int = MAX_BODY_BYTES) -> bytes:
    """Return the whole body. Raise `CallerError`: 413 as soon as more than `max_bytes` have come, 408 if it is slow."""
    body = bytearray()
    if declared_bytes(request) > max_bytes:
        raise _too_large(max_bytes)
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > max_bytes:
                    raise _too_large(max_bytes)
    except TimeoutError as error:
        detail = f"The body took longer than {BODY_SECONDS} seconds. Send it again over a faster connection."
        raise CallerError("request_timeout", detail, status=408, headers={"Connection": "close"}) from error
    return bytes(body)


async def read_beginning(request: Request, *, max_bytes: int) -> bytes:
    """Return at most `max_bytes` of a stranger's body, and no more of it than comes within a few seconds."""
    body = bytearray()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(STRANGERS_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) >= max_bytes:
                    break
    return bytes(body[:max_bytes])


def declared_bytes(request: Request) -> int:
    """Return `Content-Length`; 0 if it is absent or not a number. It is only a hint: bytes are counted too."""
    declared = request.headers.get("content-length", "")
    return int(declared) if _LENGTH.fullmatch(declared) else 0


def check_media_type(request: Request) -> None:
    """Raise `CallerError` 415 unless the body is declared as JSON, or not declared at all."""
    claimed = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if claimed not in ("", "application/json") and not (
        claimed.startswith("application/") and claimed.endswith("+json")
    ):
        raise CallerError("unsupported_media_type", "Send the body as application/json.", status=415)


def parse_object(raw: bytes) -> dict[str, Any]:
    """Parse `raw` as a JSON object. Raise `CallerError`: 400 if it is not one, 422 for text that cannot be stored."""
    try:
        text = raw.decode()
        if text.startswith("\ufeff"):
            raise NotStrictError("it begins with a BOM")
        document = decode(text)
    except RecursionError as error:
        raise _malformed(f"it is nested more than {MAX_DEPTH} deep") from error
    except ValueError as error:
        raise _malformed(_reason(error)) from error
    if not isinstance(document, dict):
        raise _malformed("it is not an object")
    if faults := tuple(islice(_faults(document), MAX_PROBLEMS)):
        raise invalid(faults)
    return document


def _faults(document: dict[str, Any]) -> Iterator[Problem]:
    """Yield text with U+0000 or half a surrogate pair, which cannot be stored. Raise `CallerError` if it is too deep.

    Paths are kept as links to the parent and spelled out only for a fault: spelling out all would let a long name
    with many members below it cost gigabytes.
    """
    waiting: list[tuple[_Path, int, Any]] = [((), 0, document)]
    while waiting:
        path, depth, value = waiting.pop()
        if isinstance(value, str) and not _keepable(value):
            yield Problem(_pointer(path), f"must not contain {_UNKEEPABLE}")
        if not isinstance(value, dict | list):
            continue
        if depth >= MAX_DEPTH:
            raise _malformed(f"it is nested more than {MAX_DEPTH} deep")
        for key, member in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(key, str) and not _keepable(key):
                yield Problem(_pointer(path), f"has a member whose name contains {_UNKEEPABLE}")
            else:
                waiting.append(((path, key), depth + 1, member))


def _keepable(text: str) -> bool:
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False


def _pointer(path: _Path) -> str:
    keys: list[str | int] = []
    while path:
        path, key = path
        keys.append(key)
    return pointer(reversed(keys))


def _reason(error: ValueError) -> str:
    match error:
        case UnicodeDecodeError():
            return "it is not UTF-8"
        case json.JSONDecodeError() | NotStrictError():
            return str(error)
    return "a number is too large"  # Python converts at most 4,300 digits


def _malformed(reason: str) -> CallerError:
    return CallerError("malformed_json", f"The body cannot be read as a JSON object: {reason}.", status=400)


def _too_large(max_bytes: int) -> CallerError:
    return CallerError("body_too_large", f"The body has more than {max_bytes} bytes.", status=413)
