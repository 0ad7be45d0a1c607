"""A table of what can happen: what stands in it happens, and all else raises."""

from enum import StrEnum

import pytest

from service.kit.machine import InvalidTransitionError, Machine


class _Door(StrEnum):
    OPEN = "open"
    SHUT = "shut"


class _Hand(StrEnum):
    PUSH = "push"
    LOCK = "lock"


_DOOR = Machine(
    "a door",
    {
        _Door.OPEN: {_Hand.PUSH: _Door.SHUT},
        _Door.SHUT: {_Hand.PUSH: _Door.OPEN, _Hand.LOCK: _Door.SHUT},
    },
)


def test_what_the_table_knows_leads_to_the_next_state() -> None:
    assert [_DOOR.advance(state, _Hand.PUSH) for state in _Door] == [_Door.SHUT, _Door.OPEN]


def test_what_the_table_does_not_know_raises_and_names_both() -> None:
    with pytest.raises(InvalidTransitionError, match="lock cannot happen to a door that is open"):
        _DOOR.advance(_Door.OPEN, _Hand.LOCK)


def test_sources_are_the_states_in_which_one_of_the_inputs_can_happen() -> None:
    assert _DOOR.sources(_Hand.LOCK) == (_Door.SHUT,)
    assert _DOOR.sources(_Hand.LOCK, _Hand.PUSH) == (_Door.OPEN, _Door.SHUT)
