"""The models as JSON Schema 2020-12, named once, for the document's `components`."""

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

Models = Iterable[type[BaseModel]]
_WHERE = "#/components/schemas/{model}"


def reference(model: type[BaseModel]) -> dict[str, str]:
    """Where the document has this model's schema."""
    return {"$ref": _WHERE.format(model=model.__name__)}


def schemas_of(taken: Models, answered: Models) -> dict[str, Any]:
    """The schemas of what is taken in and of what is answered, with all they refer to, by name.

    What is taken in has no member that is not named. Answers may grow, so theirs are open.
    """
    found = _schemas(answered, "serialization", is_open=True) | _schemas(taken, "validation", is_open=False)
    return {name: _plain(found[name]) for name in sorted(found)}


def _schemas(models: Models, mode: JsonSchemaMode, *, is_open: bool) -> dict[str, Any]:
    _, defined = models_json_schema([(model, mode) for model in models], ref_template=_WHERE)
    found: dict[str, Any] = defined.get("$defs", {})
    for schema in found.values():
        (_opened if is_open else _closed)(schema)
    return found


def _opened(schema: dict[str, Any]) -> None:
    if schema.get("additionalProperties") is False:
        del schema["additionalProperties"]
    for member in schema.get("properties", {}).values():
        member.pop("default", None)  # of no use to who reads: every member is there


def _closed(schema: dict[str, Any]) -> None:
    if "properties" in schema:
        schema["additionalProperties"] = False


def _plain(schema: Any) -> Any:
    """Without the titles pydantic makes of the members' names: they say nothing more."""
    if isinstance(schema, list):
        return [_plain(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {name: _plain(each) for name, each in schema.items() if name != "title" or not isinstance(each, str)}
