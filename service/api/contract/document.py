"""The API as OpenAPI 3.1, made of the declared operations and the models: how it is put together, for all of them."""

import importlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema
from starlette.routing import BaseRoute, Route

from service.api.contract import everywhere
from service.api.contract.dispatch import OperationRoute
from service.api.contract.operation import ApiOperation, Body, Parameter, ResponseSpec, Tag
from service.api.schemas import events
from service.api.schemas.common import Problem

_JSON = "application/json"
_WHERE = "#/components/schemas/{model}"
_IN_PATH = re.compile(r"{(\w+)}")


def written(routes: Sequence[BaseRoute], base: str) -> bytes:
    """Return the document as it is sent. Its examples work at `base`, where a base is given."""
    text = json.dumps(document(routes), ensure_ascii=False)
    return text.replace(everywhere.EXAMPLE_BASE, base or everywhere.EXAMPLE_BASE).encode()


def document(routes: Sequence[BaseRoute]) -> dict[str, Any]:
    """Return the whole document. Raise `LookupError` for a route that is not declared."""
    found = operations(routes)
    paths: dict[str, dict[str, Any]] = {}
    for operation in found:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    tags = {operation.tag for operation in found}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Verdict Relay", "version": everywhere.VERSION, "description": everywhere.ABOUT},
        "servers": [{"url": "/"}],
        "tags": [{"name": tag.value} for tag in Tag if tag in tags],
        "paths": paths,
        "webhooks": {str(kind): _webhook(kind) for kind in events.SENT},
        "components": {
            "schemas": schemas_of(*_models(found)),
            "parameters": {_key(parameter.name): _parameter(parameter) for parameter in everywhere.PARAMETERS},
            "headers": everywhere.HEADERS,
            "responses": {f"Refused{status}": _refusal(status, keyed=True) for status in everywhere.REFUSALS},
            "securitySchemes": {"apiKey": everywhere.SECURITY},
        },
    }


def operations(routes: Iterable[BaseRoute]) -> list[ApiOperation]:
    """Return the operations of these routes, in order. Raise `LookupError` for a route without a declaration."""
    known = [route for route in routes if isinstance(route, Route)]
    if undeclared := [route.path for route in known if not isinstance(route, OperationRoute)]:
        raise LookupError(f"not declared as an ApiOperation: {', '.join(undeclared)}")
    return [one for route in known if isinstance(route, OperationRoute) for one in route.operations]


def model_named(name: str) -> type[BaseModel]:
    """Return the model of `schemas` with this name, as `module.Class`."""
    module, _, cls = name.rpartition(".")
    model: type[BaseModel] = getattr(importlib.import_module(f"service.api.schemas.{module}"), cls)
    return model


def _models(some: Iterable[ApiOperation]) -> tuple[list[type[BaseModel]], list[type[BaseModel]]]:
    """Return the models of requests, and those of responses, each once."""
    taken: dict[type[BaseModel], None] = {}
    answered: dict[type[BaseModel], None] = {Problem: None}
    for operation in some:
        if operation.body is not None and operation.body.model is not None:
            taken[operation.body.model] = None
        for answer in operation.responses.values():
            answered |= dict.fromkeys(_models_of(answer))
    answered |= {model: None for _, model in events.SENT.values()}
    return list(taken), list(answered)


def _models_of(answer: ResponseSpec) -> list[type[BaseModel]]:
    names = (name for name in (answer.model, answer.short) if name is not None)
    return [model_named(name) for name in names]


def _operation(operation: ApiOperation) -> dict[str, Any]:
    answers = {str(status): _answer(answer, operation) for status, answer in operation.responses.items()}
    refusals = {str(status): _refused(status, operation) for status in operation.error_statuses}
    found: dict[str, Any] = {
        "operationId": operation.id,
        "tags": [operation.tag.value],
        "summary": operation.summary,
        "description": operation.text,
        "parameters": [*_path_parameters(operation.path), *_parameters(operation)],
        "requestBody": _body(operation.body) if operation.body is not None else None,
        "responses": dict(sorted((refusals | answers).items())),
    }
    known = {name: value for name, value in found.items() if value not in (None, "", [])}
    # An empty list says that no key is asked for.
    return known | {"security": [{"apiKey": [operation.scope]}] if operation.scope else []}


def _path_parameters(path: str) -> Iterator[dict[str, Any]]:
    for name in _IN_PATH.findall(path):
        yield {"name": name, "in": "path", "required": True, "schema": everywhere.IN_PATH.get(name, {"type": "string"})}


def _parameters(operation: ApiOperation) -> Iterator[dict[str, Any]]:
    yield from map(_parameter, operation.parameters)
    for parameter in everywhere.PARAMETERS:
        if operation.idempotent or parameter is not everywhere.IDEMPOTENCY_KEY:
            yield {"$ref": f"#/components/parameters/{_key(parameter.name)}"}


def _key(name: str) -> str:
    """Return a header's name as a key of `components`."""
    return name.replace("-", "")


def _parameter(parameter: Parameter[Any]) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": parameter.location,
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


def _answer(answer: ResponseSpec, operation: ApiOperation) -> dict[str, Any]:
    content = {kind: {"schema": dict(schema)} for kind, schema in answer.content.items()}
    if answer.model is not None:
        either = [reference(model) for model in _models_of(answer)]
        content[_JSON] = {"schema": either[0] if len(either) == 1 else {"anyOf": either}}
    more = (*answer.headers, "Idempotent-Replayed") if operation.idempotent else answer.headers
    found = {"description": answer.text, "headers": _headers(*more, keyed=operation.scope is not None)}
    return found | ({"content": content} if content else {})


def _refused(status: int, operation: ApiOperation) -> dict[str, Any]:
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
    """Return the headers of a response. `keyed`: to a request that has an API key, and counts against it."""
    limits = ("RateLimit", "RateLimit-Policy") if keyed else ()
    return {name: {"$ref": f"#/components/headers/{name}"} for name in ("X-Request-ID", *limits, *names)}


def _webhook(kind: Any) -> dict[str, Any]:
    text, model = events.SENT[kind]
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
                {"name": name, "in": "header", "required": True, "description": about, "schema": text_schema}
                for name, about in events.HEADERS.items()
            ],
            "requestBody": {"required": True, "content": {_JSON: {"schema": body}}},
            "responses": everywhere.TAKEN,
            "security": [],
        }
    }


def reference(model: type[BaseModel]) -> dict[str, str]:
    """Return the reference to this model's schema in the document."""
    return {"$ref": _WHERE.format(model=model.__name__)}


def schemas_of(taken: Iterable[type[BaseModel]], answered: Iterable[type[BaseModel]]) -> dict[str, Any]:
    """Return the schemas of requests and of responses, with all they refer to, by name.

    What is taken in has no member that is not named. Answers may grow, so theirs are open.
    """
    found = _schemas(answered, "serialization", is_open=True) | _schemas(taken, "validation", is_open=False)
    return {name: _plain(found[name]) for name in sorted(found)}


def _schemas(models: Iterable[type[BaseModel]], mode: JsonSchemaMode, *, is_open: bool) -> dict[str, Any]:
    _, defined = models_json_schema([(model, mode) for model in models], ref_template=_WHERE)
    found: dict[str, Any] = defined.get("$defs", {})
    for schema in found.values():
        (_opened if is_open else _closed)(schema)
    return found


def _opened(schema: dict[str, Any]) -> None:
    if schema.get("additionalProperties") is False:
        del schema["additionalProperties"]
    for member in schema.get("properties", {}).values():
        member.pop("default", None)  # of no use to a reader: every member is present


def _closed(schema: dict[str, Any]) -> None:
    if "properties" in schema:
        schema["additionalProperties"] = False


def _plain(schema: Any) -> Any:
    """Return the schema without the titles that pydantic makes of the members' names: they say nothing more."""
    if isinstance(schema, list):
        return [_plain(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {name: _plain(each) for name, each in schema.items() if name != "title" or not isinstance(each, str)}
