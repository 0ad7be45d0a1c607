"""The states of a detection's source, as a table: whether its audio is there. `docs/states.md` is drawn from it."""

from enum import StrEnum

from service.kit.machine import Machine


class SourceState(StrEnum):
    """Where the audio is. It is born ready, where the audio was given, or due."""

    DUE = "due"  # to be downloaded, or leased to a worker that does
    READY = "ready"
    FAILED = "failed"
    CANCELLED = "cancelled"


class SourceInput(StrEnum):
    """What can happen to a source."""

    FETCHED = "fetched"
    GIVEN_UP = "given_up"  # tried often enough, or no detector asked takes such audio
    CANCELLED = "cancel"
    ASKED_AGAIN = "asked_again"  # a re-check of a detection whose audio never came


_ASKED_AGAIN = {SourceInput.ASKED_AGAIN: SourceState.DUE}

SOURCE: Machine[SourceState, SourceInput] = Machine(
    "a source",
    {
        SourceState.DUE: {
            SourceInput.FETCHED: SourceState.READY,
            SourceInput.GIVEN_UP: SourceState.FAILED,
            SourceInput.CANCELLED: SourceState.CANCELLED,
            **_ASKED_AGAIN,  # its runs ran out of time while it was still tried
        },
        SourceState.FAILED: _ASKED_AGAIN,
        SourceState.CANCELLED: _ASKED_AGAIN,
    },
)
