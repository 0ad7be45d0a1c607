"""How a vendor does, as its gate knows it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.detectors.catalogue import Limits
from service.quotas.circuit import Circuit, note_answer, note_failure, probe
from service.quotas.models import Gate
from service.quotas.vendor_health import Health, VendorHealth, health_of

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
_MIDNIGHT = datetime(2026, 11, 21, tzinfo=UTC)
_LIMITS = Limits(daily_quota=100)


def _gate(**changes: Any) -> Gate:
    gate = Gate(vendor="asc", mode="live")
    for name, value in changes.items():
        setattr(gate, name, value)
    return gate


def _at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def test_a_vendor_that_was_never_asked_is_well_and_has_its_whole_quota() -> None:
    assert health_of(None, Limits(), NOW) == VendorHealth()
    assert health_of(None, _LIMITS, NOW) == VendorHealth(quota_left=100, quota_resets_at=_MIDNIGHT)


def test_the_first_failure_says_since_when_and_the_last_says_what() -> None:
    gate = _gate()
    note_failure(gate, NOW)
    note_failure(gate, _at(5))
    found = health_of(gate, _LIMITS, _at(6))
    assert (found.health, found.circuit, found.last_error) == (Health.DEGRADED, Circuit.CLOSED, "vendor_error")
    assert found.since == NOW


def test_a_refused_key_opens_the_circuit_until_the_next_trial() -> None:
    gate = _gate()
    note_failure(gate, NOW, at_once=True)
    found = health_of(gate, _LIMITS, _at(1))
    assert (found.health, found.circuit, found.last_error) == (Health.OPEN, Circuit.OPEN, "auth_failed")
    assert health_of(gate, _LIMITS, _at(30)).health is Health.DEGRADED
    probe(gate, _at(30))
    assert health_of(gate, _LIMITS, _at(31)).circuit is Circuit.HALF_OPEN


def test_an_answer_makes_it_well_and_the_trouble_is_forgotten() -> None:
    gate = _gate()
    note_failure(gate, NOW, at_once=True)
    note_answer(gate)
    assert health_of(gate, Limits(), _at(1)) == VendorHealth()


def test_a_vendor_that_said_later_is_degraded_until_then() -> None:
    gate = _gate(closed_until=_at(60), closed_for="rate_limited")
    during, after = (health_of(gate, _LIMITS, _at(seconds)) for seconds in (59, 60))
    assert (during.health, during.last_error) == (Health.DEGRADED, "rate_limited")
    assert (after.health, after.last_error) == (Health.OK, None)


@pytest.mark.parametrize(
    ("said", "used", "left", "resets_at"),
    [
        (None, 40, 60, _MIDNIGHT),
        (10, 40, 10, _at(3600)),
        (90, 40, 60, _MIDNIGHT),
    ],
)
def test_the_scarcer_count_says_what_is_left_and_until_when(
    said: int | None, used: int, left: int, resets_at: datetime
) -> None:
    gate = _gate(window_used=used, window_started_at=NOW, quota_left=said, resets_at=said and _at(3600))
    found = health_of(gate, _LIMITS, NOW)
    assert (found.quota_left, found.quota_resets_at) == (left, resets_at)


def test_without_a_limit_the_vendors_own_count_is_shown() -> None:
    gate = _gate(quota_left=7, resets_at=_at(3600))
    found = health_of(gate, Limits(), NOW)
    assert (found.quota_left, found.quota_resets_at) == (7, _at(3600))
    assert health_of(gate, Limits(), _at(3600)).quota_left is None
