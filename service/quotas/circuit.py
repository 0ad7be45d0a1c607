"""The circuit of one gate: a vendor that keeps failing is left alone for a while, then tried with one run. Pure.

closed → open: five failures one after another, or a refused key at once. open → half-open: the pause has passed and
a probe goes. half-open → closed: any answer. half-open → open: another failure, and the pause doubles.
"""

from datetime import datetime, timedelta
from enum import StrEnum

from service.detectors.enums import ReasonCode
from service.kit.backoff import growing
from service.quotas.models import Gate

_FAILURES = 5
_FIRST_PAUSE, _LONGEST_PAUSE = 30.0, 900.0
# How long a probe may take: an upload and a submission, each as long as its lease. Then it counts as lost.
PROBE = timedelta(seconds=240)


class Circuit(StrEnum):
    """The states of a gate's circuit."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


def blocks(gate: Gate, now: datetime) -> datetime | None:
    """Return until when nothing may go; `None` if something may: all, or one probe."""
    if gate.circuit == Circuit.CLOSED or gate.circuit_until is None or gate.circuit_until <= now:
        return None
    return gate.circuit_until


def probe(gate: Gate, now: datetime) -> None:
    """Note that a request leaves. Through a circuit that is not closed it goes alone."""
    if gate.circuit != Circuit.CLOSED:
        gate.circuit, gate.circuit_until = Circuit.HALF_OPEN.value, now + PROBE


def note_answer(gate: Gate) -> None:
    """Close the circuit: the vendor answers."""
    gate.circuit, gate.circuit_until, gate.failures, gate.opened = Circuit.CLOSED.value, None, 0, 0
    gate.failing_since = gate.last_error = None


def note_failure(gate: Gate, now: datetime, *, at_once: bool = False) -> bool:
    """Count one more failure. Return True if it opened the circuit; `at_once`: the first one does."""
    if gate.circuit == Circuit.OPEN:
        return False  # it left before we knew
    gate.failures += 1
    gate.failing_since = gate.failing_since or now
    gate.last_error = (ReasonCode.AUTH_FAILED if at_once else ReasonCode.VENDOR_ERROR).value
    if gate.circuit == Circuit.CLOSED and gate.failures < _FAILURES and not at_once:
        return False
    pause = growing(gate.opened, first=_FIRST_PAUSE, factor=2, longest=_LONGEST_PAUSE)
    gate.circuit, gate.circuit_until = Circuit.OPEN.value, now + timedelta(seconds=pause)
    gate.opened += 1
    return True
