"""The trunk of the error tree. Each branch says who is to blame and whether trying again can help.

RelayError
├── CallerError      the request was wrong; the caller can mend it   (raised by rooms, answered by doors)
├── VendorError      in `detectors/exchange`: the vendor, or the way there
├── Overdue          the database did not answer in time; the same call may succeed later
└── SettingsError    the operator's settings; the process does not start
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


class RelayError(Exception):
    """Any error of ours that has a plan."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a request. `pointer` is an RFC 6901 JSON pointer, or a parameter's name."""

    pointer: str
    detail: str


class CallerError(RelayError):
    """The caller asked for something that cannot be had. Carries what RFC 9457 wants to say."""

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        status: int = 422,
        problems: tuple[Problem, ...] = (),
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.status = status
        self.problems = problems
        self.headers = headers or {}


class Overdue(RelayError):  # noqa: N818 - it says what happened
    """A call did not get its turn, or no answer, in the time it may take."""


class SettingsError(RelayError):
    """A setting is missing or malformed. The text names it and shows an example."""


def not_found(what: str) -> CallerError:
    """Return the 404 for an object that does not exist or that another account owns; the two look the same."""
    return CallerError("not_found", f"No such {what}.", status=404)


def existing(found: T | None, what: str) -> T:
    """Return the object that was found. Raise `CallerError` 404 for `None`."""
    if found is None:
        raise not_found(what)
    return found


def bad_parameters(problems: Sequence[Problem]) -> CallerError:
    """Return the 422 that names every query parameter at fault; each `pointer` is a parameter's name."""
    detail = "; ".join(f"{problem.pointer} {problem.detail}" for problem in problems)
    return CallerError("invalid_parameter", f"{detail}.", problems=tuple(problems))
