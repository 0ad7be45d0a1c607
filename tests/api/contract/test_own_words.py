"""A refusal of a member is told in our words, with what would be right, for every model a request has."""

import itertools
import json
import types
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import BaseModel, ValidationError

from service.api.bodies import validated
from service.api.contract.document import operations
from service.api.problems import WORDS
from service.api.routes import ROUTES
from service.kit.errors import CallerError

MODELS = sorted(
    {operation.body.model for operation in operations(ROUTES) if operation.body and operation.body.model},
    key=lambda model: model.__name__,
)
WRONG: list[Any] = [
    None, True, 0, -1, 1.5, 10**30, "", "x", "x" * 5000, "2026-11-20", "2026-11-20T00:00:00",
    "9999-12-31T23:59:59-14:00", [], [1], ["x"] * 200, {}, {"x": 1},
]  # fmt: skip


def members(model: type[BaseModel]) -> Iterator[tuple[str, ...]]:
    """Every member, by the names that lead to it."""
    for name, field in model.model_fields.items():
        yield (name,)
        for inner in _models_in(field.annotation):
            yield from ((name, *rest) for rest in members(inner))


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        if issubclass(annotation, BaseModel):
            yield annotation
        return
    yield from itertools.chain.from_iterable(_models_in(part) for part in get_args(annotation))


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_no_fault_is_told_in_the_words_of_the_library(model: type[BaseModel]) -> None:
    for path, value in itertools.product(members(model), WRONG):
        document: Any = value
        for name in reversed(path):
            document = {name: document}
        try:
            model.model_validate_json(json.dumps(document), strict=True, extra="forbid")
        except ValidationError as error:
            unknown = {fault["type"] for fault in error.errors()} - set(WORDS) - {"value_error"}
            assert (path, value, unknown) == (path, value, set())


@pytest.mark.parametrize("since", ["2026-11-20", "2026-11-20T00:00:00", "yesterday", 1764547200])
def test_a_time_that_is_none_is_told_what_one_looks_like(since: object) -> None:
    recover = next(model for model in MODELS if model.__name__ == "RecoverIn")
    with pytest.raises(CallerError) as refused:
        validated(json.dumps({"since": since}).encode(), recover)
    (fault,) = refused.value.problems
    assert (fault.pointer, fault.detail) == ("/since", "must be a time with its zone, for example 2026-11-20T12:00:00Z")
