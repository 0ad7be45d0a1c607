"""What the settings say by themselves: no database, no network."""

import sys
from ipaddress import ip_address
from itertools import pairwise

from service.cli.checks.finding import Finding, World, fail, many, ok, warn
from service.kit.clock import seconds
from service.webhooks.sending.deliver import DeliveryPolicy
from service.webhooks.sending.retry import RetryPolicy

_DISTINCT = 10
_PROSE = ("secret", "changeme", "example", "password", "made-up")
_METADATA = ip_address("169.254.169.254")
_WIDEST = {4: 8, 6: 32}
_HOUR, _DAY = 3600.0, 86_400.0


async def check_settings(world: World) -> Finding:
    """Report the live vendors. That the settings could be read is known before the first check."""
    live = ", ".join(world.settings.live_vendors) or "none"
    return ok(f"all of them can be read; live vendors: {live}")


async def check_secret_keys(world: World) -> Finding:
    """Check that no secret key is listed twice or can be guessed, and that older ones are not kept."""
    keys = world.settings.secret_keys
    if len(set(keys)) < len(keys):
        return fail("SECRET_KEYS names a key twice; keep each once, the newest first")
    if any(len(set(key)) < _DISTINCT for key in keys):
        return fail("SECRET_KEYS has a key of few different characters; make one with: openssl rand -hex 32")
    if any(word in key.lower() for key in keys for word in _PROSE):
        return warn("SECRET_KEYS looks like words; make a key with: openssl rand -hex 32, and run relay rotate-keys")
    if len(keys) > 1:
        return warn("SECRET_KEYS has older keys; run relay rotate-keys, and drop them as docs/operations.md says")
    return ok("one key, long and not of words")


async def check_retry_schedule(world: World) -> Finding:
    """Check that the waits grow, and span enough hours for a customer to repair an outage."""
    waits = world.settings.webhook_retry_seconds
    total = sum(waits)
    if any(wait < 0 for wait in waits):
        return fail("WEBHOOK_RETRY_SECONDS has a wait below 0; every wait is in seconds, from 0 on")
    if total < _HOUR:
        return warn(f"WEBHOOK_RETRY_SECONDS gives up after {total:.0f} s; a customer's outage lasts longer: use hours")
    if any(after < before for before, after in pairwise(waits)):
        return warn("WEBHOOK_RETRY_SECONDS has a wait shorter than the one before it; let the waits grow")
    if total > 30 * _DAY:
        return warn(f"WEBHOOK_RETRY_SECONDS takes {total / _DAY:.0f} days; an event that old is of little use")
    return ok(f"{many(len(waits), 'try', 'tries')} over {total / _HOUR:.1f} hours")


async def check_log_format(world: World) -> Finding:
    """Check that logs are JSON where a program reads them. The log of `relay dev` is read by a person."""
    if world.settings.log_format == "console" and world.dev is None and not sys.stderr.isatty():
        return warn("LOG_FORMAT is console although no person reads here; json is what log collectors understand")
    return ok(f"LOG_FORMAT is {world.settings.log_format}")


async def check_outbound_allow(world: World) -> Finding:
    """Check that the guard has few exceptions, and none for the cloud's metadata address."""
    networks = world.settings.outbound_allow
    if wide := [str(network) for network in networks if network.prefixlen < _WIDEST[network.version]]:
        return fail(f"OUTBOUND_ALLOW is wide open with {', '.join(wide)}; name only the networks that are needed")
    if metadata := next((network for network in networks if _METADATA in network), None):
        return fail(f"OUTBOUND_ALLOW lets {metadata} through, where clouds keep credentials; take it out")
    if networks and world.settings.live_vendors:
        return warn("OUTBOUND_ALLOW opens networks that are not public to customers' URLs; is each of them needed?")
    return ok("only public addresses are dialled" if not networks else many(len(networks), "exception", "exceptions"))


async def check_outbound_https(world: World) -> Finding:
    """Check that webhooks, which hold results, go by TLS."""
    if world.settings.outbound_https_only:
        return ok("webhooks and sources go by https only")
    return warn("OUTBOUND_HTTPS_ONLY is false: results cross the network in clear; set it to true in production")


async def check_leases(world: World) -> Finding:
    """Check that leases outlast requests: one that ends during a request would send it twice."""
    for mode in ("live", "test"):
        for configured in world.catalogue.configured_in(mode):
            if configured.policy.lease <= configured.policy.timeout:
                name = f"{configured.adapter.vendor.upper()}_TIMEOUT_SECONDS"
                return fail(f"{name} is {configured.policy.timeout:.0f} and not below the lease of a run; lower it")
    settings = world.settings
    retry = RetryPolicy(settings.webhook_retry_seconds, settings.webhook_throttled_floor_seconds)
    policy = DeliveryPolicy(retry, timeout=settings.webhook_timeout_seconds)
    if policy.lease <= seconds(2 * policy.timeout):
        return fail("WEBHOOK_TIMEOUT_SECONDS is not below half the lease of a delivery; lower it")
    return ok("every lease is longer than the requests it covers")


async def check_polling_plan(world: World) -> Finding:
    """Check that polls and repeated submissions fall before the deadline."""
    for name, vendor in world.settings.vendors.items():
        prefix = name.upper()
        if vendor.deadline_seconds <= (vendor.first_poll_seconds or vendor.poll_seconds):
            return fail(f"{prefix}_DEADLINE_SECONDS ends a run before its first poll; raise it")
        if vendor.resubmit_after_seconds >= vendor.deadline_seconds:
            return warn(f"{prefix}_RESUBMIT_AFTER_SECONDS is not below the deadline; a lost submission stays lost")
    return ok("polls and repetitions fall before the deadlines")


async def check_web_concurrency(world: World) -> Finding:
    """Check that SQLite is used by one process."""
    count = world.settings.web_concurrency
    if world.settings.is_sqlite and count > 1:
        return fail(f"WEB_CONCURRENCY is {count}, but SQLite is one process; use 1, or a PostgreSQL DATABASE_URL")
    return ok(many(count, "web process", "web processes"))


async def check_metrics_token(world: World) -> Finding:
    """Check that a scraper elsewhere can read /metrics of a process that listens publicly."""
    host, _ = world.settings.bind
    if world.settings.metrics_token is None and not host.startswith("127."):
        return warn("METRICS_TOKEN is not set, so only this machine can read /metrics; set one for your scraper")
    return ok("/metrics can be read" if world.settings.metrics_token else "/metrics is for this machine alone")


async def check_proxy_hops(world: World) -> Finding:
    """Check the hops: behind a platform's router the peer is always the router."""
    platform = next((name for name in ("DYNO", "RENDER") if name in world.environment), None)
    if platform and world.settings.trusted_proxy_hops == 0:
        return warn("TRUSTED_PROXY_HOPS is 0 behind a router; set it to 1, or all strangers share one limit")
    return ok(f"TRUSTED_PROXY_HOPS is {world.settings.trusted_proxy_hops}")
