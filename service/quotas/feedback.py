"""What a vendor's answer says of the next one: its limits, its refusals, whether it answers at all.

Headers: `X-RateLimit-Limit`, `-Remaining`, `-Reset` (unix seconds; ASC's page, AIPPIM's until 2025-12) and
`Retry-After` (RFC 9110 §10.2.3). Reading is pure; `apply_feedback` changes the row it is given.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from service.detectors.answers import retry_after_seconds
from service.detectors.catalogue import Limits
from service.detectors.enums import ReasonCode
from service.detectors.extensions import Quota
from service.detectors.port import Raw, Refused
from service.detectors.reading import Reading
from service.kit.clock import seconds
from service.quotas import circuit
from service.quotas.gates import OUT_OF_CREDIT, WaitingFor
from service.quotas.models import Gate

_TOO_MANY = 429
_FAILING = range(500, 600)
_CLOSE_CODES = range(1000, 5000)  # a stream's, RFC 6455 §7.4: they stand where an answer has its HTTP status
_PAUSE = 30  # seconds after a 429 that names none: the pause Pex advises
_NO_CREDIT_PAUSE = 900
_A_WHILE = 120
_SAME_PAUSE = 60
_MOST = 2**31 - 1
_DAY = timedelta(days=1)
_LONGEST_WINDOW = timedelta(days=32)


@dataclass(frozen=True, slots=True)
class ReportedLimit:
    """A limit that a vendor reported. `resets_at` is always later than the answer."""

    remaining: int
    resets_at: datetime
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class GateFeedback:
    """What one answer, or its absence, means for the vendor's gate."""

    failed: bool = False  # no whole answer, a 5xx, or a stream that broke off or met a fault of the vendor's
    key_refused: bool = False
    denied: bool = False  # we are known, and may not do this: often a plan that does not include it
    unpaid: bool = False  # where `closed_for`: the vendor wants to be paid
    taken: bool = False  # a submission was taken, so it is paid for
    closed_for: WaitingFor | None = None  # a 429, or credit that is used up
    pause: int = 0  # seconds, where `closed_for`
    reported: ReportedLimit | None = None

    @property
    def plain(self) -> bool:
        """Return True if it says only that the vendor answers."""
        return not (self.failed or self.key_refused or self.denied or self.closed_for or self.reported)


def reported_limit(raw: Raw) -> ReportedLimit | None:
    """Return the limit that the headers report; `None` if they report none, or one that cannot be right.

    A reset that is past, or more than a month away, is ignored: ASC's own sample is two years old.
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
    return ReportedLimit(min(remaining, _MOST), resets_at, None if limit is None else min(limit, _MOST))


def feedback_from(raw: Raw | None, parsed: object = None) -> GateFeedback:
    """Return what the gate learns from an answer, as its adapter parsed it; `raw` is `None` if none came."""
    if raw is None:
        return GateFeedback(failed=True)
    if raw.status in _FAILING or _broke_off(raw, parsed):
        return GateFeedback(failed=True, reported=reported_limit(raw))
    reason = parsed.reason_code if isinstance(parsed, Refused | Reading) else None
    if reason is ReasonCode.QUOTA_EXCEEDED:
        pause = retry_after_seconds(raw) or _NO_CREDIT_PAUSE
        return GateFeedback(
            closed_for=WaitingFor.QUOTA_EXCEEDED, pause=pause, reported=reported_limit(raw), unpaid=True
        )
    refused = reason if isinstance(parsed, Refused) else None
    if refused is ReasonCode.AUTH_FAILED:
        return GateFeedback(key_refused=True)
    if raw.status == _TOO_MANY or (raw.status in _CLOSE_CODES and reason is ReasonCode.RATE_LIMITED):
        return _throttled(raw)
    return GateFeedback(denied=refused is ReasonCode.ACCESS_DENIED, reported=reported_limit(raw))


def quota_feedback(raw: Raw, quota: Quota | Refused) -> GateFeedback:
    """Return what the gate learns from the answer to a request for the quota.

    The action's name may be wrong (ASC documents none): a refusal is not counted as the vendor's failure, but a 429 is.
    """
    if isinstance(quota, Refused):
        return feedback_from(raw, quota) if raw.status == _TOO_MANY else GateFeedback(reported=reported_limit(raw))
    midnight = raw.received_at.replace(hour=0, minute=0, second=0, microsecond=0) + _DAY
    resets_at = quota.resets_at if quota.resets_at is not None else midnight
    if quota.remaining is None or not raw.received_at < resets_at <= raw.received_at + _DAY:
        return GateFeedback(reported=reported_limit(raw))
    return GateFeedback(reported=ReportedLimit(quota.remaining, resets_at, quota.limit))


def apply_feedback(gate: Gate, limits: Limits, feedback: GateFeedback, now: datetime) -> bool:
    """Apply one answer's feedback to its gate. Return True if that opened the circuit."""
    if feedback.reported is not None:
        _take_count(gate, feedback.reported)
    if feedback.failed or feedback.key_refused:
        return circuit.note_failure(gate, now, at_once=feedback.key_refused)
    since = gate.failing_since if gate.last_error == ReasonCode.ACCESS_DENIED else None
    circuit.note_answer(gate)
    if feedback.denied:
        gate.failing_since, gate.last_error = since or now, ReasonCode.ACCESS_DENIED.value
    _take_pause(gate, limits, feedback, now)
    return False


def news_of(gate: Gate, feedback: GateFeedback, now: datetime) -> str | None:
    """Return the word for trouble that the gate does not know of yet and that no waiting ends, or `None`.

    Submissions that were under way together are refused together: that is reported once for each pause.
    """
    if feedback.denied and gate.last_error != ReasonCode.ACCESS_DENIED:
        return ReasonCode.ACCESS_DENIED.value
    until = now + seconds(feedback.pause - _SAME_PAUSE)
    known = gate.closed_for == OUT_OF_CREDIT and gate.closed_until is not None and gate.closed_until > until
    return OUT_OF_CREDIT if feedback.unpaid and not known else None


def _throttled(raw: Raw) -> GateFeedback:
    named = retry_after_seconds(raw)
    pause = _PAUSE if named is None else named
    word = WaitingFor.QUOTA_EXCEEDED if pause > _A_WHILE else WaitingFor.RATE_LIMITED
    return GateFeedback(closed_for=word, pause=pause, reported=reported_limit(raw))


def _broke_off(raw: Raw, parsed: object) -> bool:
    """Return True if a stream ended in a way that passes: without its answer, or with a fault of the vendor's own."""
    passes = isinstance(parsed, Refused) and parsed.retryable and parsed.reason_code is ReasonCode.VENDOR_ERROR
    return passes and raw.status in _CLOSE_CODES


def _take_pause(gate: Gate, limits: Limits, feedback: GateFeedback, now: datetime) -> None:
    if feedback.taken and gate.closed_for == OUT_OF_CREDIT:
        gate.closed_until = gate.closed_for = None
    throttled = feedback.closed_for is WaitingFor.RATE_LIMITED
    if feedback.closed_for is not None and not (throttled and limits.keep_pressure):
        until = now + seconds(feedback.pause)
        word = OUT_OF_CREDIT if feedback.unpaid else feedback.closed_for.value
        if gate.closed_until is None or gate.closed_until < until:
            gate.closed_until, gate.closed_for = until, word
        elif feedback.unpaid:
            gate.closed_for = word


def _take_count(gate: Gate, reported: ReportedLimit) -> None:
    """Of one window the lower count holds: answers overtake one another, and others may use the same key."""
    same = gate.resets_at is not None and abs(gate.resets_at - reported.resets_at) < seconds(1)
    left = gate.quota_left if same and gate.quota_left is not None else reported.remaining
    if gate.resets_at is None or gate.resets_at <= reported.resets_at or same:
        gate.quota_left, gate.resets_at = min(left, reported.remaining), reported.resets_at
        if reported.limit is not None or not same or gate.quota_limit is None:
            gate.quota_limit = reported.remaining if reported.limit is None else reported.limit


def _count(raw: Raw, header: str) -> int | None:
    value = raw.headers.get(header, "").strip()
    return int(value) if re.fullmatch(r"[0-9]{1,12}", value) else None
