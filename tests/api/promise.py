"""Holds answers to what `/openapi.json` promises: status, headers, media type, and every member of the body.

Answers may grow, so the document leaves objects open. Here they are closed: a member that is not described is a fault.
"""

import copy
import json
import re
from datetime import datetime
from typing import Any

import httpx
from jsonschema import Draft202012Validator, FormatChecker

_TOLD = ("location", "retry-after", "idempotent-replayed", "www-authenticate", "content-range", "ratelimit")
_PROBLEM = "application/problem+json"
FORMATS = FormatChecker(formats=())


@FORMATS.checks("date-time", raises=ValueError)
def _is_time(value: object) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


class Promise:
    """The document, and answers held to it."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self._components = _closed(copy.deepcopy(document["components"]))
        self.operations = {
            operation["operationId"]: (method.upper(), path, operation)
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
        }

    def address(self, operation_id: str, path: dict[str, str]) -> tuple[str, str]:
        """Return method and path, with its names filled in."""
        method, template, _ = self.operations[operation_id]
        return method, re.sub(r"{(\w+)}", lambda found: path[found[1]], template)

    def check(self, operation_id: str, response: httpx.Response) -> None:
        """Fail the test unless the operation may give this answer."""
        _, _, operation = self.operations[operation_id]
        status = str(response.status_code)
        assert status in operation["responses"], (operation_id, status, response.text)
        promised = self._resolved(operation["responses"][status])
        self._check_headers(promised, response)
        self._check_body(promised.get("content", {}), response)

    def check_request(self, operation_id: str, body: object) -> None:
        """Fail the test unless the document allows this body."""
        content = self.operations[operation_id][2]["requestBody"]["content"]
        self.check_value(content["application/json"]["schema"], body)

    def check_event(self, event: dict[str, Any]) -> None:
        """Fail the test unless the event fits the document's `webhooks`."""
        assert event["type"] in self.document["webhooks"], event["type"]
        content = self.document["webhooks"][event["type"]]["post"]["requestBody"]["content"]
        body = {name: value for name, value in event.items() if name != "id"}
        self.check_value(_closed(copy.deepcopy(content["application/json"]["schema"])), body)

    def check_value(self, schema: dict[str, Any], value: object) -> None:
        """Fail the test unless the value fits the schema, which may refer to the document's components."""
        validator = Draft202012Validator({**schema, "components": self._components}, format_checker=FORMATS)
        faults = [f"{fault.json_path}: {fault.message[:300]}" for fault in validator.iter_errors(value)]
        assert not faults, faults

    def _check_headers(self, promised: dict[str, Any], response: httpx.Response) -> None:
        names = {name.lower() for name in promised.get("headers", {})}
        assert "x-request-id" in response.headers
        assert {name for name in _TOLD if name in response.headers} <= names
        always = names & {"location", "ratelimit", "ratelimit-policy", "accept-ranges"}
        if response.status_code == 503:
            always -= {"ratelimit", "ratelimit-policy"}  # whose request it was may not be known
        if response.status_code in (401, 403) and "ratelimit" in names:
            always.add("www-authenticate")
        assert always <= {name.lower() for name in response.headers}

    def _check_body(self, content: dict[str, Any], response: httpx.Response) -> None:
        kind = response.headers.get("content-type", "").partition(";")[0]
        if not content or response.request.method == "HEAD":
            assert response.content == b""
            return
        known = [each for each in content if re.fullmatch(re.escape(each).replace(r"\*", ".+"), kind)]
        assert known, (kind, list(content))
        if kind in ("application/json", _PROBLEM):
            self.check_value(content[known[0]]["schema"], json.loads(response.content))

    def _resolved(self, promised: dict[str, Any]) -> dict[str, Any]:
        name = promised.get("$ref", "").rpartition("/")[2]
        found: dict[str, Any] = self.document["components"]["responses"][name] if name else promised
        return found


def _closed(schema: Any) -> Any:
    """Return the schema with every object closed that does not say that it is open."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: _closed(each) for name, each in schema.items()}
    if isinstance(found.get("properties"), dict) and found.get("type") == "object":
        found.setdefault("additionalProperties", False)
    return found
