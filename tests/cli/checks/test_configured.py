"""The doctor finds each setting it claims to find."""

from typing import Any

import pytest

from service.cli.checks import configured
from service.cli.checks.finding import Severity
from service.detectors.catalogue import VendorPolicy
from service.kit.clock import seconds
from service.kit.db.database import Database
from service.webhooks.sending.deliver import DeliveryPolicy
from tests.cli.checks.rooms import KEY, deployment

LIVE = {"asc": {"api_key": "k"}, "public_url": "https://relay.example.com"}
CASES: list[tuple[str, dict[str, Any], str, str]] = [
    ("check_secret_keys", {"secret_keys": (KEY, KEY)}, "fail", "twice"),
    ("check_secret_keys", {"secret_keys": ("ab" * 20,)}, "fail", "few different characters"),
    ("check_secret_keys", {"secret_keys": ("my secret key of sufficient length, no?",)}, "warn", "words"),
    ("check_secret_keys", {"secret_keys": (KEY, KEY.upper())}, "warn", "rotate-keys"),
    ("check_retry_schedule", {"webhook_retry_seconds": (0, -5, 4000)}, "fail", "below 0"),
    ("check_retry_schedule", {"webhook_retry_seconds": (0, 5)}, "warn", "gives up after 5 s"),
    ("check_retry_schedule", {"webhook_retry_seconds": (0, 7200, 60)}, "warn", "shorter than the one before"),
    ("check_retry_schedule", {"webhook_retry_seconds": (0, 9_000_000)}, "warn", "104 days"),
    ("check_log_format", {"log_format": "console"}, "warn", "json"),
    ("check_outbound_allow", {"outbound_allow": "0.0.0.0/0"}, "fail", "wide open"),
    ("check_outbound_allow", {"outbound_allow": "::/0"}, "fail", "wide open"),
    ("check_outbound_allow", {"outbound_allow": "169.254.0.0/16"}, "fail", "credentials"),
    ("check_outbound_allow", {"outbound_allow": "10.1.0.0/16", **LIVE}, "warn", "needed"),
    ("check_outbound_https", {"outbound_https_only": False}, "warn", "in clear"),
    ("check_polling_plan", {"asc": {"deadline_seconds": 10}}, "fail", "ASC_DEADLINE_SECONDS"),
    ("check_polling_plan", {"aippim": {"resubmit_after_seconds": 4000}}, "warn", "AIPPIM_RESUBMIT_AFTER_SECONDS"),
    ("check_web_concurrency", {"web_concurrency": 2, "database_url": "sqlite:///x.db"}, "fail", "WEB_CONCURRENCY"),
    ("check_metrics_token", {"host": "203.0.113.9"}, "warn", "METRICS_TOKEN"),
    ("check_proxy_hops", {"world": {"environment": {"DYNO": "web.1"}}}, "warn", "TRUSTED_PROXY_HOPS"),
]


@pytest.fixture
def nowhere(sqlite_url: str) -> Database:
    """These checks do not ask the database."""
    return Database(sqlite_url)


@pytest.mark.parametrize(("check", "given", "level", "words"), CASES)
async def test_the_doctor_finds_it(
    nowhere: Database, check: str, given: dict[str, Any], level: str, words: str
) -> None:
    async with deployment(nowhere, **given) as world:
        finding = await getattr(configured, check)(world)
    assert (finding.level, words in finding.sentence) == (level, True), finding
    nowhere.close()


@pytest.mark.parametrize("check", sorted({case[0] for case in CASES} | {"check_settings", "check_leases"}))
async def test_a_plain_deployment_passes(nowhere: Database, check: str) -> None:
    async with deployment(nowhere, **LIVE) as world:
        finding = await getattr(configured, check)(world)
    assert finding.level is Severity.OK, finding
    nowhere.close()


async def test_a_lease_that_ends_before_its_request_is_found(
    nowhere: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with deployment(nowhere) as world:
        monkeypatch.setattr(VendorPolicy, "lease", property(lambda policy: policy.timeout))
        finding = await configured.check_leases(world)
        assert (finding.level, "TIMEOUT_SECONDS" in finding.sentence) == (Severity.FAIL, True)
        monkeypatch.undo()
        monkeypatch.setattr(DeliveryPolicy, "lease", property(lambda _policy: seconds(15)))
        finding = await configured.check_leases(world)
        assert (finding.level, "WEBHOOK_TIMEOUT_SECONDS" in finding.sentence) == (Severity.FAIL, True)
    nowhere.close()
