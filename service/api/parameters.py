"""Query parameters, judged strictly: whatever is unknown, doubled or malformed is refused, all of it at once."""

import re
from datetime import UTC, datetime
from enum import StrEnum
from typing import TypeVar

from starlette.datastructures import QueryParams

from service.kit.errors import CallerError, Problem, bad_parameters
from service.kit.paging import Page, page_from
from service.kit.security.tokens import Tokens

W = TypeVar("W", bound=StrEnum)

_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})")
_SHOWN_CHARACTERS = 100


class Parameters:
    """The parameters of one request. Reading them collects what is wrong; `check` raises it."""

    def __init__(self, given: QueryParams, *known: str) -> None:
        self._given = given
        self._problems: list[Problem] = []
        for name in dict.fromkeys(given.keys()):
            if name not in known:
                offered = f"known here: {', '.join(known)}" if known else "none is known here"
                self.fault(name[:_SHOWN_CHARACTERS], f"is no parameter of this address; {offered}")
            elif len(given.getlist(name)) > 1:
                self.fault(name, "must be given once")

    def fault(self, name: str, detail: str) -> None:
        """The parameter is wrong, in these words."""
        self._problems.append(Problem(name, detail))

    def text(self, name: str, *, longest: int) -> str | None:
        """1 to `longest` characters, or nothing."""
        text = self._given.get(name)
        if text is None or (1 <= len(text) <= longest and "\0" not in text):
            return text
        self.fault(name, f"must have 1 to {longest} characters, and no U+0000")
        return None

    def word(self, name: str, words: type[W]) -> W | None:
        """One of `words`, or nothing."""
        text = self._given.get(name)
        if text is None:
            return None
        if text in [word.value for word in words]:
            return words(text)
        self.fault(name, f"must be one of {', '.join(words)}")
        return None

    def time(self, name: str) -> datetime | None:
        """An RFC 3339 time, aware and in UTC, or nothing."""
        text = self._given.get(name)
        # A plus that nobody escaped arrives as a space.
        at = None if text is None else _time(text.upper().replace(" ", "+"))
        if text is not None and at is None:
            self.fault(name, "must be an RFC 3339 time with its zone, for example 2026-11-20T00:00:00Z")
        return at

    def is_true(self, name: str) -> bool:
        """Whether it is `true`; it can be nothing else."""
        text = self._given.get(name)
        if text not in (None, "true"):
            self.fault(name, "must be true, or left out")
        return text == "true"

    def page(self, tokens: Tokens, listing: str, *, cursor: bool = True) -> Page:
        """`limit`, and `cursor` where this kind of cursor is used."""
        names = ("limit", "cursor") if cursor else ("limit",)
        try:
            return page_from({name: self._given[name] for name in names if name in self._given}, tokens, listing)
        except CallerError as error:
            self._problems.extend(error.problems)
            return page_from({}, tokens, listing)

    def check(self) -> None:
        """Nothing was wrong. Raises `CallerError` 422 that names every fault."""
        if self._problems:
            raise bad_parameters(self._problems)


def _time(text: str) -> datetime | None:
    if not _TIME.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return None  # no such day, or none in UTC
