"""Requests that schemathesis makes up from the document. Imported late: it takes seconds."""

import itertools
from collections.abc import Mapping
from typing import Any

import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.generation.case import Case
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from service.api.contract.document import document
from service.api.routes import ROUTES

_CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]
_EXAMPLES = 8
_SCHEMA = schemathesis.openapi.from_dict(document(ROUTES))


def ask_all_sorts(
    base_url: str, headers: dict[str, str], method: str, path: str, mode: str, own: Mapping[str, str]
) -> None:
    """Send what the document allows, or what is wrong in some way; compare each answer with the document.

    Every other time the ids in the path are of the caller's own things.
    """
    turns = itertools.cycle([True, False])

    @settings(
        max_examples=_EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=_SCHEMA[path][method].as_strategy(generation_mode=GenerationMode(mode)))
    def ask(case: Case[Any]) -> None:
        if next(turns):
            case.path_parameters.update({place: known for place, known in own.items() if place in case.path_parameters})
        if mode == "positive" and isinstance(wait := case.query.get("wait"), int):
            case.query["wait"] = min(wait, 1)  # nothing ends here, so each would wait its whole time
        case.call_and_validate(base_url=base_url, headers=headers, checks=_CHECKS, timeout=20)

    ask()
