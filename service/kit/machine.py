"""A state machine as a table: what can happen to one kind of thing, and where it stands then.

Statements that move many rows at once cannot ask `advance`: they take the rows whose state is among `sources` of their
input, and no others.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Generic, TypeVar

State = TypeVar("State", bound=StrEnum)
Input = TypeVar("Input", bound=StrEnum)


class InvalidTransitionError(ValueError):
    """This cannot happen in this state; nothing has changed."""


class Machine(Generic[State, Input]):
    """A table from states and inputs to states. `thing` is what errors call it."""

    def __init__(self, thing: str, rows: Mapping[State, Mapping[Input, State]]) -> None:
        self._thing = thing
        self.table = {(state, happening): after for state, row in rows.items() for happening, after in row.items()}

    def advance(self, state: State, happening: Input) -> State:
        """Return the state after `happening`. Raise `InvalidTransitionError` where the table has no such row."""
        try:
            return self.table[state, happening]
        except KeyError:
            raise InvalidTransitionError(f"{happening} cannot happen to {self._thing} that is {state}") from None

    def sources(self, *happenings: Input) -> tuple[State, ...]:
        """Return the states in which one of these can happen, in the order of the table."""
        return tuple(dict.fromkeys(state for state, happening in self.table if happening in happenings))
