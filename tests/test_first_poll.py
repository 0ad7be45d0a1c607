"""Whether the time of the first poll is the operator's word or a default that what is measured may replace."""

import pytest

from service.detectors.exchange import Exchange
from service.detectors.latency import Latency
from service.resources import catalogue_of
from service.settings import load_settings

_MEASURED = Latency(10_000, 20_000, 50)


async def _first_wait(vendor: str) -> float:
    """Seconds to the first poll of a test run, with enough measured."""
    exchanges: list[Exchange] = []
    line = catalogue_of(load_settings(), exchanges).configured("test", vendor)
    for exchange in exchanges:
        await exchange.aclose()
    assert line is not None
    return line.policy.first_wait(30, _MEASURED)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEYS", "a made-up secret key of enough characters")


async def test_a_default_gives_way_to_what_was_measured() -> None:
    assert [await _first_wait(vendor) for vendor in ("aippim", "asc")] == [25, 25]


async def test_a_value_in_the_environment_wins_also_one_that_equals_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIPPIM_FIRST_POLL_SECONDS", "45")
    assert [await _first_wait(vendor) for vendor in ("aippim", "asc")] == [45, 25]


async def test_an_empty_value_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIPPIM_FIRST_POLL_SECONDS", "")
    assert await _first_wait("aippim") == 25
