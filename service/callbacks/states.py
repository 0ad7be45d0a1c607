"""The states of a stored callback, as a table. `docs/states.md` is drawn from it.

Statements that move rows by what they find there take those whose state is among `sources` of their input.
"""

from collections.abc import Mapping
from enum import StrEnum

from service.kit.machine import Machine
from service.runs.state.lifecycle import CallbackState


class CallbackInput(StrEnum):
    """What can happen to a stored callback. That the same came again is counted, and changes no state."""

    APPLIED = "apply"
    LATE = "found_late"
    CONFLICT = "found_in_conflict"
    PARKED = "park"  # no run knows it yet
    FOUND = "found"  # its run came to be known at the last moment
    GIVEN_UP = "given_up"  # thinking about it failed five times
    NAMED = "named"  # a run learned the name that it waits for
    EXPIRED = "expire"  # no run can learn that name any more


_ONCE = {
    CallbackInput.APPLIED: CallbackState.APPLIED,
    CallbackInput.LATE: CallbackState.LATE,
    CallbackInput.CONFLICT: CallbackState.CONFLICT,
    CallbackInput.PARKED: CallbackState.PARKED,
}

CALLBACK: Machine[CallbackState, CallbackInput] = Machine(
    "a callback",
    {
        CallbackState.DUE: {
            **_ONCE,
            CallbackInput.FOUND: CallbackState.DUE,
            CallbackInput.GIVEN_UP: CallbackState.STUCK,
        },
        CallbackState.PARKED: {
            CallbackInput.NAMED: CallbackState.DUE,
            CallbackInput.EXPIRED: CallbackState.IGNORED,
        },
    },
)

DECIDED: Mapping[CallbackState, CallbackInput] = {state: happening for happening, state in _ONCE.items()}
"""By the state that was decided for a callback: what happens to it then."""
