"""The API as OpenAPI 3.1, made of the routes, their descriptions and the models.

What is said of a door stands in `described`. Here is how it is put together, and nothing of any one door.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pydantic import BaseModel
from starlette.routing import BaseRoute, Route

from service.api.components import reference, schemas_of
from service.api.describe import Answer, Body, Operation, Parameter, Tag, problems_of
from service.api.described import OPERATIONS, everywhere, webhooks
from service.api.schemas.common import Problem

_JSON = "application/json"
_IN_PATH = re.compile(r"{(\w+)}")


def written(routes: Sequence[BaseRoute], base: str) -> bytes:
    """Return the document as it is sent. Its examples work at `base`, where a base is given."""
    text = json.dumps(document(routes), ensure_ascii=False)
    return text.replace(everywhere.EXAMPLE_BASE, base or everywhere.EXAMPLE_BASE).encode()


def document(routes: Sequence[BaseRoute]) -> dict[str, Any]:
    """The whole document. Raises `KeyError` for a route that nobody has described."""
    found = list(operations(routes))
    paths: dict[str, dict[str, Any]] = {}
    for method, path, operation in found:
        paths.setdefault(path, {})[method.lower()] = _operation(operation, path)
    tags = {operation.tag for _, _, operation in found}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Verdict Relay", "version": everywhere.VERSION, "description": everywhere.ABOUT},
        "servers": [{"url": "/"}],
        "tags": [{"name": tag.value} for tag in Tag if tag in tags],
        "paths": paths,
        "webhooks": {str(kind): _webhook(kind) for kind in webhooks.SENT},
        "components": {
            "schemas": schemas_of(*_models(operation for _, _, operation in found)),
            "parameters": {_key(parameter.name): _parameter(parameter) for parameter in everywhere.PARAMETERS},
            "headers": everywhere.HEADERS,
            "responses": {f"Refused{status}": _refusal(status, keyed=True) for status in everywhere.REFUSALS},
            "securitySchemes": {"apiKey": everywhere.SECURITY},
        },
    }


def operations(routes: Iterable[BaseRoute]) -> Iterator[tuple[str, str, Operation]]:
    """Method, path and description of each route. HEAD where it is described; elsewhere it goes without saying."""
    for route in routes:
        if isinstance(route, Route):
            for method in sorted(route.methods or ()):
                if method != "HEAD" or (method, route.path) in OPERATIONS:
                    yield method, route.path, OPERATIONS[method, route.path]


def _models(some: Iterable[Operation]) -> tuple[list[type[BaseModel]], list[type[BaseModel]]]:
    """What is taken in, and what is answered, each once."""
    taken: dict[type[BaseModel], None] = {}
    answered: dict[type[BaseModel], None] = {Problem: None}
    for operation in some:
        if operation.body is not None and operation.body.model is not None:
            taken[operation.body.model] = None
        for answer in operation.answers.values():
            answered |= {model: None for model in (answer.model, answer.short) if model is not None}
    answered |= {model: None for _, model in webhooks.SENT.values()}
    return list(taken), list(answered)


def _operation(operation: Operation, path: str) -> dict[str, Any]:
    answers = {str(status): _answer(answer, operation) for status, answer in operation.answers.items()}
    refusals = {str(status): _refused(status, operation) for status in problems_of(operation, path)}
    found: dict[str, Any] = {
        "operationId": operation.id,
        "tags": [operation.tag.value],
        "summary": operation.summary,
        "description": operation.text,
        "parameters": [*_path_parameters(path), *_parameters(operation)],
        "requestBody": _body(operation.body) if operation.body is not None else None,
        "responses": dict(sorted((refusals | answers).items())),
    }
    known = {name: value for name, value in found.items() if value not in (None, "", [])}
    # An empty list says that no key is asked for.
    return known | {"security": [{"apiKey": [operation.scope]}] if operation.scope else []}


def _path_parameters(path: str) -> Iterator[dict[str, Any]]:
    for name in _IN_PATH.findall(path):
        yield {"name": name, "in": "path", "required": True, "schema": everywhere.IN_PATH.get(name, {"type": "string"})}


def _parameters(operation: Operation) -> Iterator[dict[str, Any]]:
    yield from map(_parameter, operation.parameters)
    for parameter in everywhere.PARAMETERS:
        if operation.once or parameter is not everywhere.IDEMPOTENCY_KEY:
            yield {"$ref": f"#/components/parameters/{_key(parameter.name)}"}


def _key(name: str) -> str:
    """A header's name as a key of `components`."""
    return name.replace("-", "")


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": parameter.place,
        "description": parameter.text,
        "schema": dict(parameter.schema),
    }


def _body(body: Body) -> dict[str, Any]:
    content = {kind: {"schema": dict(schema)} for kind, schema in body.content.items()}
    if body.model is not None:
        content[_JSON] = {"schema": reference(body.model)}
        if body.example is not None:
            content[_JSON]["example"] = dict(body.example)
    return {"required": body.required, "content": content}


def _answer(answer: Answer, operation: Operation) -> dict[str, Any]:
    content = {kind: {"schema": dict(schema)} for kind, schema in answer.content.items()}
    if answer.model is not None:
        either = [reference(model) for model in (answer.model, answer.short) if model is not None]
        content[_JSON] = {"schema": either[0] if len(either) == 1 else {"anyOf": either}}
    more = (*answer.headers, "Idempotent-Replayed") if operation.once else answer.headers
    found = {"description": answer.text, "headers": _headers(*more, keyed=operation.scope is not None)}
    return found | ({"content": content} if content else {})


def _refused(status: int, operation: Operation) -> dict[str, Any]:
    if operation.scope is not None:
        return {"$ref": f"#/components/responses/Refused{status}"}
    return _refusal(status, keyed=False)


def _refusal(status: int, *, keyed: bool) -> dict[str, Any]:
    return {
        "description": everywhere.REFUSALS[status],
        "headers": _headers(*everywhere.REFUSAL_HEADERS.get(status, ()), keyed=keyed),
        "content": {"application/problem+json": {"schema": reference(Problem)}},
    }


def _headers(*names: str, keyed: bool) -> dict[str, Any]:
    """The headers of an answer. `keyed`: to a request that came with an API key, and counted against it."""
    limits = ("RateLimit", "RateLimit-Policy") if keyed else ()
    return {name: {"$ref": f"#/components/headers/{name}"} for name in ("X-Request-ID", *limits, *names)}


def _webhook(kind: Any) -> dict[str, Any]:
    text, model = webhooks.SENT[kind]
    text_schema = {"type": "string"}
    body = {
        "type": "object",
        "required": ["type", "timestamp", "data"],
        "properties": {
            "type": {"const": str(kind)},
            "timestamp": {"type": "string", "format": "date-time"},
            "data": reference(model),
        },
    }
    return {
        "post": {
            "operationId": f"on_{kind}".replace(".", "_"),
            "summary": text,
            "parameters": [
                {"name": name, "in": "header", "required": True, "description": said, "schema": text_schema}
                for name, said in webhooks.HEADERS.items()
            ],
            "requestBody": {"required": True, "content": {_JSON: {"schema": body}}},
            "responses": everywhere.TAKEN,
            "security": [],
        }
    }
