"""The decision if one more request may leave for a vendor now, and if not, why and until when. Pure.

Requests are counted by the second, and no 60 s see more than the minute's limit. The day begins at midnight UTC, as
ASC's does. A tenth of both is kept for polls and confirmations, so that submissions cannot starve what is under way.
Where the vendor reports a smaller limit of its own, it is a tenth of that: nothing is kept that is not there. `acquire`
changes the row that it is given.
"""

import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import accumulate

from service.detectors.catalogue import Limits
from service.detectors.enums import ReasonCode
from service.kit.clock import seconds
from service.quotas import circuit
from service.quotas.models import Gate

_KEPT = 10  # one in so many, for polls
_MINUTE = 60
_A_WHILE = timedelta(minutes=2)
_TYPICAL_RUN = 30.0  # seconds at a vendor: AIPPIM's and ASC's own estimate
_SHORTEST_STEP = 0.25

OUT_OF_CREDIT = "out_of_credit"
"""What a gate is closed for while its vendor wants to be paid. Then only submissions wait: what the vendor has, it has
been paid for. After each pause one submission tries, alone; one that is taken lifts it."""


class Purpose(StrEnum):
    """The purpose of a request."""

    SUBMIT = "submit"
    POLL = "poll"


class WaitingFor(StrEnum):
    """The reason why a run waits at the gate, as its customer reads it."""

    CONCURRENCY = "concurrency"
    RATE_LIMITED = "rate_limited"
    QUOTA_EXCEEDED = "quota_exceeded"
    CIRCUIT_OPEN = "circuit_open"

    @property
    def reason(self) -> ReasonCode:
        """Return why the run has failed if it waits for this until its deadline."""
        return ReasonCode.RATE_LIMITED if self is WaitingFor.CONCURRENCY else ReasonCode(self.value)


@dataclass(frozen=True, slots=True)
class Throttled:
    """The reason why nothing goes now, and when the next request may go. `until` is always later than now."""

    waiting_for: WaitingFor
    until: datetime
    unpaid: bool = False  # the vendor wants to be paid, and no quota of requests is meant


def check_gate(
    gate: Gate, limits: Limits, purpose: Purpose, now: datetime, *, requests: int = 1, under_way: int = 0
) -> Throttled | None:
    """Return why so many requests may not leave now; `None` if they may. `under_way`: runs at the vendor now."""
    if (until := circuit.blocks(gate, now)) is not None:
        return Throttled(WaitingFor.CIRCUIT_OPEN, until)
    if (closed := _closed(gate, purpose, now)) is not None:
        return closed
    spent = _check_day(gate, limits, purpose, now, requests) or _check_vendor(gate, limits, purpose, now, requests)
    if spent is not None:
        return spent
    if purpose is Purpose.SUBMIT and limits.concurrency is not None and under_way >= limits.concurrency:
        return Throttled(WaitingFor.CONCURRENCY, now + seconds(step(gate, limits, now)))
    return _check_minute(gate, limits, purpose, now, requests)


def acquire(gate: Gate, limits: Limits, now: datetime, *, requests: int = 1, purpose: Purpose = Purpose.POLL) -> None:
    """Count requests that leave now."""
    circuit.probe(gate, now)
    if purpose is Purpose.SUBMIT and gate.closed_for == OUT_OF_CREDIT:
        gate.closed_until = now + circuit.PROBE
    if limits.per_minute is not None:
        gate.minute_json = _with_requests(_minute(gate, now), math.floor(now.timestamp()), requests)
    gate.window_used = _used(gate, now) + requests
    began, today = gate.window_started_at, _midnight(now)
    gate.window_started_at = today if began is None or began < today else began  # a clock behind us moves no day back
    if gate.quota_left is not None:
        gate.quota_left = max(0, gate.quota_left - requests)


def leave_later(gate: Gate, charged_at: datetime, now: datetime) -> None:
    """Count a request of `charged_at` in this second instead: it leaves only now, after an upload for example.

    One that leaves more than a minute after it was counted counts again.
    """
    lately = dict(_minute(gate, now))
    second = math.floor(charged_at.timestamp())
    if lately.get(second, 0) > 1:
        lately[second] -= 1
    else:
        lately.pop(second, None)
    gate.minute_json = _with_requests(list(lately.items()), math.floor(now.timestamp()), 1)


def step(gate: Gate, limits: Limits, now: datetime, requests: int = 1) -> float:
    """Return the seconds from one submission to the next that can be expected while many wait."""
    reported = _reported_limit(gate, now)
    of_a_minute = reported is not None and gate.resets_at is not None and gate.resets_at - now <= seconds(_MINUTE)
    per_minute = _smaller(limits.per_minute, reported if of_a_minute else None)
    by_minute = requests * _MINUTE / (per_minute - per_minute // _KEPT) if per_minute else 0.0
    by_places = _TYPICAL_RUN / limits.concurrency if limits.concurrency else 0.0
    return max(by_minute, by_places, _SHORTEST_STEP)


def left_today(gate: Gate | None, limits: Limits, now: datetime) -> int | None:
    """Return how many requests are left until the quota resets, by our count and the vendor's; `None` if unknown."""
    own = None if limits.daily_quota is None else limits.daily_quota - (_used(gate, now) if gate else 0)
    reported = (
        None if gate is None or (limit := _reported_limit(gate, now)) is None else _smaller(limit, gate.quota_left)
    )
    left = _smaller(own, reported)
    return None if left is None else max(0, left)


def closed_word(gate: Gate) -> WaitingFor:
    """Return what the gate is closed for, as a customer reads it."""
    if gate.closed_for == OUT_OF_CREDIT:
        return WaitingFor.QUOTA_EXCEEDED
    return WaitingFor(gate.closed_for or WaitingFor.RATE_LIMITED)


def _closed(gate: Gate, purpose: Purpose, now: datetime) -> Throttled | None:
    unpaid = gate.closed_for == OUT_OF_CREDIT
    if gate.closed_until is None or gate.closed_until <= now or (unpaid and purpose is Purpose.POLL):
        return None
    return Throttled(closed_word(gate), gate.closed_until, unpaid)


def _check_minute(gate: Gate, limits: Limits, purpose: Purpose, now: datetime, requests: int) -> Throttled | None:
    if limits.per_minute is None:
        return None
    lately = _minute(gate, now)
    room = limits.per_minute - (limits.per_minute // _KEPT if purpose is Purpose.SUBMIT else 0)
    # A limit below what one submission needs lets it through where nothing else went.
    too_many = sum(count for _, count in lately) + min(requests, room) - room
    if too_many <= 0:
        return None
    gone = accumulate(count for _, count in lately)
    freeing = next(second for (second, _), so_far in zip(lately, gone, strict=True) if so_far >= too_many)
    return Throttled(WaitingFor.RATE_LIMITED, datetime.fromtimestamp(freeing + _MINUTE + 1, UTC))


def _check_day(gate: Gate, limits: Limits, purpose: Purpose, now: datetime, requests: int) -> Throttled | None:
    if limits.daily_quota is None:
        return None
    kept = _kept_of_a_day(gate, limits, now) if purpose is Purpose.SUBMIT else 0
    if _used(gate, now) + requests + kept <= limits.daily_quota:
        return None
    return Throttled(WaitingFor.QUOTA_EXCEEDED, _midnight(now) + timedelta(days=1))


def _check_vendor(gate: Gate, limits: Limits, purpose: Purpose, now: datetime, requests: int) -> Throttled | None:
    """Check the vendor's own count, from the headers of its last answers."""
    if gate.quota_left is None or gate.resets_at is None or gate.resets_at <= now:
        return None
    soon = gate.resets_at - now <= _A_WHILE
    kept = 0 if soon or purpose is Purpose.POLL else _kept_of_a_day(gate, limits, now)
    if requests + kept <= gate.quota_left:
        return None
    return Throttled(WaitingFor.RATE_LIMITED if soon else WaitingFor.QUOTA_EXCEEDED, gate.resets_at)


def _kept_of_a_day(gate: Gate, limits: Limits, now: datetime) -> int:
    return (_smaller(limits.daily_quota, _reported_limit(gate, now)) or 0) // _KEPT


def _reported_limit(gate: Gate, now: datetime) -> int | None:
    """Return the limit that the vendor reported, until it resets; if it named none, what it said was left."""
    if gate.quota_left is None or gate.resets_at is None or gate.resets_at <= now:
        return None
    return gate.quota_left if gate.quota_limit is None else gate.quota_limit


def _smaller(one: int | None, other: int | None) -> int | None:
    """Return the smaller of the values that are known."""
    return min((each for each in (one, other) if each is not None), default=None)


def _minute(gate: Gate, now: datetime) -> list[tuple[int, int]]:
    """Return the last minute's requests by their second, oldest first. Each counts for a minute."""
    since = math.floor(now.timestamp()) - _MINUTE
    return [(second, count) for second, count in json.loads(gate.minute_json) if second >= since]


def _with_requests(lately: list[tuple[int, int]], second: int, requests: int) -> str:
    counts = dict(lately)
    counts[second] = counts.get(second, 0) + requests
    return json.dumps(sorted(counts.items()))


def _used(gate: Gate, now: datetime) -> int:
    began = gate.window_started_at
    return gate.window_used if began is not None and began >= _midnight(now) else 0


def _midnight(now: datetime) -> datetime:
    return now.replace(hour=0, minute=0, second=0, microsecond=0)
