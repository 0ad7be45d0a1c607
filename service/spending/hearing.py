"""What a vendor's answer says of the next one: its limits, its refusals, whether it answers at all.

Headers: `X-RateLimit-Limit`, `-Remaining`, `-Reset` (unix seconds; ASC's page, AIPPIM's until 2025-12) and
`Retry-After` (RFC 9110 §10.2.3). Reading is pure; `hear` changes the row it is given.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from service.detectors.answers import retry_after_seconds
from service.detectors.catalogue import Limits
from service.detectors.port import Raw, Refused
from service.detectors.reading import Reading
from service.detectors.words import ReasonCode
from service.kit.clock import seconds
from service.spending import circuit
from service.spending.gates import WaitingFor
from service.spending.models import Gate

_TOO_MANY = 429
_FAILING = 500
_PAUSE = 30  # seconds after a 429 that names none: the pause Pex advises
_NO_CREDIT_PAUSE = 900
_A_WHILE = 120
_LONGEST_WINDOW = timedelta(days=32)


@dataclass(frozen=True, slots=True)
class Said:
    """What a vendor told of its limit. `resets_at` is always in the future of the answer."""

    remaining: int
    resets_at: datetime
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Heard:
    """One answer, or none, as the gate sees it."""

    failed: bool = False  # no whole answer, or a 5xx
    key_refused: bool = False
    closed_for: WaitingFor | None = None  # a 429, or credit that is used up
    pause: int = 0  # seconds, where `closed_for`
    said: Said | None = None

    @property
    def plain(self) -> bool:
        """Whether it says only that the vendor answers."""
        return not (self.failed or self.key_refused or self.closed_for or self.said)


def said_limits(raw: Raw) -> Said | None:
    """What the headers say is left, and until when. `None` where they say nothing, or nothing that can be.

    A reset that is past, or more than a month away, tells nothing: ASC's own sample is two years old.
    """
    limit, remaining, reset = (_count(raw, f"x-ratelimit-{name}") for name in ("limit", "remaining", "reset"))
    if remaining is None or reset is None:
        return None
    try:
        resets_at = datetime.fromtimestamp(reset, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    if not raw.received_at < resets_at <= raw.received_at + _LONGEST_WINDOW:
        return None
    return Said(min(remaining, 2**31 - 1), resets_at, limit)


def heard(raw: Raw | None, said: object = None) -> Heard:
    """What the gate learns from an answer and what its adapter made of it; `raw` is `None` where none came."""
    if raw is None:
        return Heard(failed=True)
    reason = said.reason_code if isinstance(said, Refused | Reading) else None
    if raw.status >= _FAILING:
        return Heard(failed=True, said=said_limits(raw))
    if isinstance(said, Refused) and reason is ReasonCode.AUTH_FAILED:
        return Heard(key_refused=True)
    if isinstance(said, Refused) and reason is ReasonCode.QUOTA_EXCEEDED:
        pause = retry_after_seconds(raw) or _NO_CREDIT_PAUSE
        return Heard(closed_for=WaitingFor.QUOTA_EXCEEDED, pause=pause, said=said_limits(raw))
    if raw.status == _TOO_MANY:
        asked = retry_after_seconds(raw)
        pause = _PAUSE if asked is None else asked
        word = WaitingFor.QUOTA_EXCEEDED if pause > _A_WHILE else WaitingFor.RATE_LIMITED
        return Heard(closed_for=word, pause=pause, said=said_limits(raw))
    return Heard(said=said_limits(raw))


def hear(gate: Gate, limits: Limits, told: Heard, now: datetime) -> bool:
    """The gate knows what the answer told. Whether its circuit opened by it."""
    if told.said is not None:
        _take_count(gate, told.said)
    if told.failed or told.key_refused:
        return circuit.note_failure(gate, now, at_once=told.key_refused)
    circuit.note_answer(gate)
    throttled = told.closed_for is WaitingFor.RATE_LIMITED
    if told.closed_for is not None and not (throttled and limits.keep_pressure):
        until = now + seconds(told.pause)
        if gate.closed_until is None or gate.closed_until < until:
            gate.closed_until, gate.closed_for = until, told.closed_for.value
    return False


def _take_count(gate: Gate, said: Said) -> None:
    """Of one window the lower count holds: answers overtake one another, and others may use the same key."""
    same = gate.resets_at is not None and abs(gate.resets_at - said.resets_at) < seconds(1)
    left = gate.quota_left if same and gate.quota_left is not None else said.remaining
    if gate.resets_at is None or gate.resets_at <= said.resets_at or same:
        gate.quota_left, gate.resets_at = min(left, said.remaining), said.resets_at


def _count(raw: Raw, header: str) -> int | None:
    value = raw.headers.get(header, "").strip()
    return int(value) if re.fullmatch(r"[0-9]{1,12}", value) else None
