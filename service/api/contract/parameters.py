"""The kinds of query parameters: the schema of each, its parser and the text of its refusal stand together."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeVar

from service.api.contract.operation import Call, Parameter
from service.kit.paging import MAX_LIMIT, Page, PagePosition, listed, position_in
from service.kit.security.tokens import BadToken

R = TypeVar("R")
W = TypeVar("W", bound=str)

_DEFAULT_LIMIT = 20
_LONGEST_CURSOR = 2000
NO_CURSOR = "must be a next_cursor of this list, unchanged"
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})")
_WHOLE = re.compile(r"[0-9]{1,9}")


def header(name: str, text: str, schema: Mapping[str, Any] | None = None) -> Parameter[str | None]:
    """Return a header that a handler reads by itself."""
    return Parameter(name=name, text=text, schema=schema or {"type": "string"}, location="header")


def bounded(text: str, longest: int) -> str:
    """Return `text`. Raise `ValueError` unless it has 1 to `longest` characters, and no U+0000."""
    if not 1 <= len(text) <= longest or "\0" in text:
        raise ValueError(f"must have 1 to {longest} characters, and no U+0000")
    return text


def words(name: str, text: str, some: Sequence[W], default: W | None = None) -> Parameter[Any]:
    """Return a parameter that is one of some words; its value is that member."""

    def parse(given: str, _call: Call) -> W:
        known = {str(word): word for word in some}
        if given not in known:
            raise ValueError(f"must be one of {', '.join(known)}")
        return known[given]

    schema: dict[str, Any] = {"enum": list(some)} | ({} if default is None else {"default": default})
    return Parameter(name=name, text=text, schema=schema, parse=parse, default=default)


def word(name: str, text: str, some: type["E"]) -> "Parameter[E | None]":
    """Return a parameter that is a member of an enum, or absent."""
    found: Parameter[E | None] = words(name, text, list(some))
    return found


def integer(name: str, text: str, least: int, most: int) -> Parameter[int | None]:
    """Return a parameter that is a whole number, or absent."""
    schema = {"type": "integer", "minimum": least, "maximum": most}
    return Parameter(name=name, text=text, schema=schema, parse=_integer(least, most))


def integer_or(default: int, name: str, text: str, least: int, most: int) -> Parameter[int]:
    """Return a parameter that is a whole number, `default` if absent."""
    schema = {"type": "integer", "minimum": least, "maximum": most, "default": default}
    return Parameter(name=name, text=text, schema=schema, parse=_integer(least, most), default=default)


def _integer(least: int, most: int) -> Callable[[str, Call], int]:
    def parse(given: str, _call: Call) -> int:
        number = int(given) if _WHOLE.fullmatch(given) else None
        if number is None or not least <= number <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return number

    return parse


def time(name: str, text: str) -> Parameter[datetime | None]:
    """Return a parameter that is an RFC 3339 time; its value is aware and in UTC."""
    return Parameter(name=name, text=text, schema={"type": "string", "format": "date-time"}, parse=_time)


def _time(given: str, _call: Call) -> datetime:
    # A plus that was not percent-encoded arrives as a space.
    text = given.upper().replace(" ", "+")
    try:
        if _TIME.fullmatch(text):
            return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        pass  # there is no such day, or it has no time in UTC
    raise ValueError("must be an RFC 3339 time with its zone, for example 2026-11-20T00:00:00Z")


def flag(name: str, text: str) -> Parameter[bool]:
    """Return a parameter that is `true` or absent."""
    return Parameter(name=name, text=text, schema={"const": "true"}, parse=_true, default=False)


def _true(given: str, _call: Call) -> bool:
    if given != "true":
        raise ValueError("must be true, or left out")
    return True


def text(name: str, about: str, schema: Mapping[str, Any], parse: Callable[[str, Call], R]) -> Parameter[R | None]:
    """Return a parameter with a schema and a parser of its own."""
    return Parameter(name=name, text=about, schema=schema, parse=parse)


LIMIT = integer_or(_DEFAULT_LIMIT, "limit", "How many at most.", 1, MAX_LIMIT)


def cursor(parse: Callable[[str, Call], R]) -> Parameter[R | None]:
    """Return `cursor`, read by `parse`."""
    schema = {"type": "string", "maxLength": _LONGEST_CURSOR}
    return text("cursor", "`next_cursor` of the page before, unchanged.", schema, parse)


@dataclass(frozen=True, slots=True)
class Listing:
    """A list in pages: its two parameters, and the end of its answer. A cursor works in one list of one owner."""

    name: str
    parameters: tuple[Parameter[Any], ...] = field(init=False)

    def __post_init__(self) -> None:
        """Make the parameters."""
        object.__setattr__(self, "parameters", (LIMIT, cursor(self._position)))

    def page(self, call: Call) -> Page:
        """Return the page that was asked for."""
        return Page(call.query[LIMIT], call.query[self.parameters[1]])

    def answer(
        self, call: Call, rows: Sequence[R], page: Page, shown: Callable[[Sequence[R]], list[dict[str, Any]]]
    ) -> dict[str, Any]:
        """Return the body of the page. `rows` are up to `page.limit + 1` of them, each with `created_at` and `id`."""
        some, more = listed(rows, page, call.context.tokens, self._of(call), position=_position_of)
        return {"data": shown(some), **more}

    def _of(self, call: Call) -> str:
        return "/".join((self.name, *call.owner))

    def _position(self, given: str, call: Call) -> PagePosition:
        try:
            return position_in(given, call.context.tokens, self._of(call))
        except BadToken as error:
            raise ValueError(NO_CURSOR) from error


def _position_of(row: Any) -> PagePosition:
    return PagePosition(row.created_at, row.id)


E = TypeVar("E", bound=StrEnum)
