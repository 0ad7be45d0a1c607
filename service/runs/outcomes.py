"""What callers are told of their inputs, where a word is not enough."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Begun:
    """A submission may leave: since when that is on record, and the ledger's row by which it is settled."""

    charge_id: int
    left_at: datetime


class CallbackState(StrEnum):
    """Where a stored callback stands, born due or quarantined: `callbacks/states` is the table."""

    DUE = "due"
    PARKED = "parked"  # no run knows it yet
    APPLIED = "applied"
    LATE = "late"
    CONFLICT = "conflict"
    IGNORED = "ignored"
    QUARANTINED = "quarantined"  # rejected, and never looked at again by itself
    STUCK = "stuck"


@dataclass(frozen=True, slots=True)
class CallbackEnd:
    """The state that a callback is in, its run, and a note. `erase`: nothing of its words may stay."""

    state: CallbackState
    run_id: str | None = None
    note: str | None = None
    erase: bool = False
