"""Which detectors there are, and how each vendor is dealt with."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.detectors.catalogue import Catalogue, ConfiguredVendor, VendorPolicy, sandbox_name, tier_of
from service.detectors.latency import Latency
from tests.detections.scripted import aippim, asc

_PLAN = VendorPolicy(first_poll=45, poll=15, poll_max=300, deadline=3600, resubmit_after=90, timeout=60)


@pytest.fixture
def catalogue() -> Catalogue:
    shorter = replace(_PLAN, deadline=60, timeout=90)
    return Catalogue(
        {
            ("live", "asc"): ConfiguredVendor(asc(), _PLAN),
            ("test", "aippim"): ConfiguredVendor(aippim(), shorter),
            ("test", "asc"): ConfiguredVendor(asc(), _PLAN),
        }
    )


def test_each_mode_has_its_own_detectors(catalogue: Catalogue) -> None:
    assert catalogue.names("live") == ["asc"]
    assert catalogue.names("test") == ["aippim/standard", "aippim/pro", "asc"]
    assert (catalogue.configured("live", "aippim"), catalogue.configured("test", "pex")) == (None, None)


def test_the_default_is_the_first_detector_of_each_vendor(catalogue: Catalogue) -> None:
    assert catalogue.defaults("test") == ["aippim/standard", "asc"]


def test_a_detector_names_its_vendor_in_its_mode(catalogue: Catalogue) -> None:
    found = [catalogue.vendor_of(mode, "aippim/pro") for mode in ("test", "live")]
    assert found == ["aippim", None]
    assert catalogue.vendors() == {"aippim", "asc"}


def test_the_longest_spans_are_those_of_any_vendor(catalogue: Catalogue) -> None:
    assert catalogue.longest_lease() == replace(_PLAN, timeout=90).lease
    assert catalogue.longest_deadline() == 3600
    assert (Catalogue({}).longest_lease(), Catalogue({}).longest_deadline()) == (60, 0)


@pytest.mark.parametrize(
    ("first_poll", "estimate", "wait"), [(45, 20, 45), (None, 20, 25), (None, None, 20), (None, 0, 5), (0, 20, 0)]
)
def test_the_first_poll_is_the_operators_or_follows_the_vendors_estimate(
    first_poll: float | None, estimate: int | None, wait: float
) -> None:
    assert replace(_PLAN, first_poll=first_poll).first_wait(estimate) == wait


@pytest.mark.parametrize(("p95_ms", "wait"), [(60_000, 65), (31_000, 36), (2_000, 15), (0, 15), (7_200_000, 1800)])
def test_the_first_poll_follows_what_was_measured_within_bounds(p95_ms: int, wait: float) -> None:
    assert _PLAN.first_wait(20, Latency(1, p95_ms, 50)) == wait


@pytest.mark.parametrize("samples", [0, 1, 49])
def test_too_few_samples_leave_the_first_poll_where_it_was(samples: int) -> None:
    few = Latency(1_000, 2_000, samples) if samples else Latency()
    assert _PLAN.first_wait(20, few) == 45
    assert replace(_PLAN, first_poll=None).first_wait(20, few) == 25


def test_what_the_operator_set_wins_over_what_was_measured() -> None:
    assert replace(_PLAN, first_poll_is_set=True).first_wait(20, Latency(1_000, 2_000, 500)) == 45


def test_a_short_deadline_never_makes_the_first_poll_sooner_than_later_ones() -> None:
    assert replace(_PLAN, deadline=20).first_wait(None, Latency(60_000, 60_000, 50)) == 15


def test_every_vendor_is_known_once_in_each_mode(catalogue: Catalogue) -> None:
    shown = {
        mode: [(configured.adapter.vendor, on) for configured, on in catalogue.known(mode)] for mode in ("live", "test")
    }
    assert shown == {"live": [("asc", True), ("aippim", False)], "test": [("asc", True), ("aippim", True)]}
    assert [configured.policy.deadline for configured, _ in catalogue.known("test")] == [3600, 60]


def test_later_polls_come_half_as_far_apart_again_up_to_the_longest_wait() -> None:
    waits = [_PLAN.next_wait(polls, lambda: 0.0) for polls in range(1, 11)]
    assert waits[:4] == [15, 22.5, 33.75, 50.625]
    assert waits[8:] == [300, 300]


@given(polls=st.integers(1, 10_000), chance=st.floats(0, 1, exclude_max=True))
def test_jitter_is_only_added_and_is_a_tenth_at_most(polls: int, chance: float) -> None:
    plain = _PLAN.next_wait(polls, lambda: 0.0)
    wait = _PLAN.next_wait(polls, lambda: chance)
    assert plain <= wait <= min(plain * 1.1, 300)


@pytest.mark.parametrize("timeout", [0, 1, 60, 600])
def test_a_lease_outlives_any_request(timeout: float) -> None:
    assert replace(_PLAN, timeout=timeout).lease >= timeout + 3


def test_webhook_secrets_are_not_shown() -> None:
    assert "hush" not in repr(replace(_PLAN, webhook_secrets=("hush",)))


def test_the_tier_is_what_follows_the_slash() -> None:
    assert [tier_of("aippim/standard"), tier_of("asc")] == ["standard", None]


def test_the_sandbox_name_has_the_known_words_as_whole_parts_in_their_order() -> None:
    name = sandbox_name("run_1", "my-ai.lost-callback.ai.Ai.mp3", "wav", ["ai", "lost-callback", "mp3x"])
    assert name == "run_1.lost-callback.ai.wav"
    assert sandbox_name("run_1", "song.ai.mp3", "mp3", ()) == "run_1.mp3"
