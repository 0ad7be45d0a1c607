"""Single requests at a gate: counted as all others, and a look at the quota only seldom."""

from datetime import UTC, datetime, timedelta

import pytest

from service.detectors.catalogue import Limits
from service.detectors.enums import ReasonCode
from service.detectors.extensions import Quota
from service.detectors.port import Raw, Refused
from service.kit.db.database import Database
from service.quotas.feedback import GateFeedback, ReportedLimit, quota_feedback
from service.quotas.gate_store import admit_quota_request, admit_request, lock_gates
from service.quotas.gates import WaitingFor
from service.quotas.models import Gate

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
MIDNIGHT = datetime(2026, 11, 21, tzinfo=UTC)
KEY = ("live", "asc")
APART = timedelta(minutes=10)
UNLIMITED = Limits()


def answer(status: int = 200, **headers: str) -> Raw:
    return Raw(status, {name.replace("_", "-"): value for name, value in headers.items()}, b"{}", NOW)


def _one(database: Database, limits: Limits, now: datetime = NOW) -> WaitingFor | None:
    with database.writing() as session:
        hold = admit_request(session, KEY, limits, now)
    return hold.waiting_for if hold is not None else None


def _look(database: Database, limits: Limits = UNLIMITED, now: datetime = NOW) -> bool:
    with database.writing() as session:
        return admit_quota_request(session, KEY, limits, now, apart=APART)


def _gate(database: Database) -> Gate:
    with database.reading() as session:
        return session.get_one(Gate, KEY[::-1])


def test_a_single_request_is_counted_and_held_like_a_poll(database: Database) -> None:
    limits = Limits(daily_quota=2)
    assert [_one(database, limits) for _ in range(3)] == [None, None, WaitingFor.QUOTA_EXCEEDED]
    assert _gate(database).window_used == 2


def test_without_limits_it_goes_and_is_counted_all_the_same(database: Database) -> None:
    assert _one(database, Limits()) is None
    assert _gate(database).window_used == 1


def test_nobody_looks_where_nothing_went_today(database: Database) -> None:
    assert _look(database) is False
    _one(database, Limits(), NOW - timedelta(days=1))
    assert _look(database) is False


def test_a_look_is_counted_and_the_next_is_ten_minutes_away_and_needs_a_reason(database: Database) -> None:
    _one(database, Limits())
    assert _look(database) is True
    assert _gate(database).window_used == 2
    _one(database, Limits())
    assert _look(database, now=NOW + timedelta(minutes=9, seconds=59)) is False
    assert _look(database, now=NOW + APART) is True
    assert _look(database, now=NOW + 2 * APART) is False, "nothing else went since"


def test_the_first_look_of_a_day_waits_for_something_to_go(database: Database) -> None:
    late = datetime(2026, 11, 20, 23, 58, tzinfo=UTC)
    _one(database, Limits(), late)
    assert _look(database, now=late) is True
    assert _look(database, now=MIDNIGHT + APART) is False
    _one(database, Limits(), MIDNIGHT)
    assert _look(database, now=MIDNIGHT + timedelta(minutes=1)) is False, "ten minutes count across midnight"
    assert _look(database, now=MIDNIGHT + APART) is True


def test_nobody_looks_through_a_closed_gate_or_a_circuit_that_is_tried_out(database: Database) -> None:
    limits = Limits(daily_quota=1)
    _one(database, limits)
    assert _look(database, limits) is False
    with database.writing() as session:
        gate = lock_gates(session, [KEY])[KEY]
        gate.circuit, gate.circuit_until = "open", NOW - timedelta(seconds=1)
    assert _look(database) is False


def test_what_the_quota_says_is_what_the_gate_hears() -> None:
    quota = Quota("pro", 10_000, 342, 9658, MIDNIGHT)
    assert quota_feedback(answer(), quota) == GateFeedback(reported=ReportedLimit(9658, MIDNIGHT, 10_000))


def test_a_quota_without_a_reset_is_of_the_day() -> None:
    assert quota_feedback(answer(), Quota(remaining=5)) == GateFeedback(reported=ReportedLimit(5, MIDNIGHT, None))


@pytest.mark.parametrize("resets_at", [NOW, datetime(2024, 4, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)])
def test_a_reset_that_is_past_or_far_tells_nothing(resets_at: datetime) -> None:
    assert quota_feedback(answer(), Quota(remaining=5, resets_at=resets_at)) == GateFeedback()


def test_a_refused_look_is_no_failure_of_the_vendor_but_a_429_counts() -> None:
    refused = Refused(ReasonCode.VENDOR_ERROR, "?", retryable=True)
    for status in (400, 401, 404, 500):
        assert quota_feedback(answer(status), refused) == GateFeedback()
    limited = quota_feedback(answer(429, retry_after="7200"), Refused(ReasonCode.RATE_LIMITED, "?", retryable=True))
    assert (limited.closed_for, limited.pause) == (WaitingFor.QUOTA_EXCEEDED, 7200)


def test_the_headers_of_an_unreadable_answer_still_tell() -> None:
    raw = answer(x_ratelimit_remaining="7", x_ratelimit_reset=str(int(MIDNIGHT.timestamp())))
    assert quota_feedback(raw, Refused(ReasonCode.SCHEMA_MISMATCH, "?", retryable=True)) == GateFeedback(
        reported=ReportedLimit(7, MIDNIGHT, None)
    )
