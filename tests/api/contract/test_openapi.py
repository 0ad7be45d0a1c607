"""The document: valid OpenAPI 3.1, of every route and nothing else, with examples that fit."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import schemathesis
from openapi_spec_validator import OpenAPIV31SpecValidator
from starlette.responses import Response
from starlette.routing import Route

from service.accounts.api_keys import SCOPES
from service.api.contract.document import document, operations
from service.api.operating.pages import ROUTES as PAGES
from service.api.routes import ROUTES
from service.api.schemas import events
from service.events.types import EventType
from tests.api.doors import app_of, client_of
from tests.api.promise import Promise
from tests.house.draw_openapi import PAGE, redrawn

_ROOT = Path(__file__).resolve().parents[3]
DOCUMENT = document(ROUTES)


OPERATIONS = operations(ROUTES)


def test_every_operation_has_its_route_and_every_route_its_operation() -> None:
    for route in ROUTES:
        declared = {operation.method for operation in route.operations}
        assert {operation.path for operation in route.operations} == {route.path}
        assert declared <= (route.methods or set()) <= declared | {"HEAD"}


def test_a_route_without_a_declaration_is_found() -> None:
    async def nothing(_request: Any) -> Response:
        return Response()

    with pytest.raises(LookupError, match="nobody-declared"):
        document([*ROUTES, Route("/v1/nobody-declared", nothing)])


def test_the_document_is_valid_openapi() -> None:
    assert DOCUMENT["openapi"].startswith("3.1.")
    schemathesis.openapi.from_dict(DOCUMENT).validate()


def test_a_document_that_is_none_is_found() -> None:
    broken = {**DOCUMENT, "paths": {"/livez": {"get": {"responses": "none"}}}}
    with pytest.raises(Exception, match="is not of type"):
        schemathesis.openapi.from_dict(broken).validate()


def test_a_validator_that_knows_nothing_of_us_accepts_the_document() -> None:
    errors = OpenAPIV31SpecValidator(json.loads(json.dumps(DOCUMENT))).iter_errors()
    assert [(list(error.path), error.message) for error in errors] == []


def test_that_validator_looks_at_defaults() -> None:
    broken = json.loads(json.dumps(DOCUMENT))
    broken["components"]["schemas"]["EndpointChanges"]["properties"]["url"]["default"] = ""
    assert not OpenAPIV31SpecValidator(broken).is_valid()


def test_every_default_is_allowed_where_it_stands() -> None:
    found = list(_with_defaults(DOCUMENT))
    assert len(found) > 10
    for schema in found:
        whole = {"components": DOCUMENT["components"], **schema}
        jsonschema.Draft202012Validator(whole).validate(schema["default"])


def _with_defaults(part: Any) -> Iterator[dict[str, Any]]:
    if isinstance(part, dict):
        if "default" in part and not isinstance(part["default"], dict):
            yield part
        part = list(part.values())
    if isinstance(part, list):
        for each in part:
            yield from _with_defaults(each)


def test_every_reference_leads_somewhere() -> None:
    for reference in re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(DOCUMENT)):
        at: Any = DOCUMENT
        for name in reference.split("/"):
            at = at[name]


def test_operations_have_names_of_their_own() -> None:
    names = [operation.id for operation in OPERATIONS]
    assert len(names) == len(set(names))
    assert [name for name in names if not re.fullmatch(r"[a-z][a-zA-Z]+", name)] == []


def test_every_operation_under_v1_asks_for_a_scope_that_exists_and_nothing_else_does() -> None:
    for operation in OPERATIONS:
        assert (operation.scope is not None) == operation.path.startswith("/v1/")
        assert operation.scope is None or operation.scope in SCOPES


def test_every_post_that_takes_a_key_says_so() -> None:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            taken = {"$ref": "#/components/parameters/IdempotencyKey"} in operation.get("parameters", [])
            assert taken == (method == "post" and path.startswith("/v1/")), (method, path)


@pytest.mark.parametrize("name", [operation.id for operation in OPERATIONS if operation.body])
def test_examples_fit_what_is_asked_for(name: str) -> None:
    promise = Promise(DOCUMENT)
    content = promise.operations[name][2]["requestBody"]["content"].get("application/json", {})
    if "example" in content:
        promise.check_request(name, content["example"])


def test_the_webhooks_are_the_types_that_are_sent() -> None:
    text = (_ROOT / "docs" / "webhooks.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[^|]+) \|.*\| sent \|$", text, flags=re.MULTILINE)
    assert {kind for row in rows for kind in re.findall(r"`([^`]+)`", row)} == set(DOCUMENT["webhooks"])
    assert set(DOCUMENT["webhooks"]) == {str(kind) for kind in events.SENT} <= set(EventType)


def test_the_file_in_the_documents_is_the_document() -> None:
    assert PAGE.read_text(encoding="utf-8") == redrawn(), "run: python -m tests.house.draw_openapi"


async def test_the_document_is_served_as_it_is_made() -> None:
    async with client_of(app_of(PAGES)) as client:
        response = await client.get("/openapi.json")
        again = await client.get("/openapi.json")
    assert response.headers["content-type"] == "application/json"
    assert response.json() == document(PAGES)
    assert again.content == response.content
