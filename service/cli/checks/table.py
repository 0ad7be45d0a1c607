"""Every check of `relay doctor`, in the order it prints them."""

from service.cli.checks import configured, gates, money, outside, stored, working
from service.cli.checks.finding import Check
from service.vendors import VENDORS

CHECKS: tuple[Check, ...] = (
    Check("settings", configured.check_settings),
    Check("secret keys", configured.check_secret_keys),
    Check("database", stored.check_database),
    Check("schema", stored.check_schema, needs_database=True),
    Check("seals", stored.check_seals, needs_database=True),
    Check("events", stored.check_feed, needs_database=True),
    Check("SQLite disk", stored.check_sqlite_disk),
    Check("PostgreSQL version", stored.check_postgres_version, needs_database=True),
    Check("connections", stored.check_connections, needs_database=True),
    Check("database encryption", stored.check_sslmode),
    Check("listening", stored.check_listen, needs_database=True),
    Check("clock", stored.check_clock, needs_database=True),
    Check("web processes", configured.check_web_concurrency),
    Check("leases", configured.check_leases),
    Check("polling plan", configured.check_polling_plan),
    Check("retry schedule", configured.check_retry_schedule),
    Check("outbound networks", configured.check_outbound_allow),
    Check("outbound https", configured.check_outbound_https),
    Check("log format", configured.check_log_format),
    Check("metrics", configured.check_metrics_token),
    Check("proxies", configured.check_proxy_hops),
    Check("public address", outside.check_public_url),
    Check("round trip", outside.check_round_trip),
    Check("live vendors", outside.check_live_vendors),
    *(Check(name, outside.check_vendor(name)) for name in VENDORS),
    *(
        Check(f"{name} secrets", outside.check_secrets(name))
        for name in VENDORS
        if VENDORS[name].settings.callback_proofs
    ),
    *(
        Check(f"{name} address", outside.check_address(name), needs_database=True)
        for name in VENDORS
        if VENDORS[name].account_callbacks
    ),
    Check("media store", working.check_media_store),
    Check("media shared", working.check_media_shared),
    Check("disk space", working.check_disk_space),
    Check("gates", gates.check_gates, needs_database=True),
    Check("budgets", money.check_budgets, needs_database=True),
    Check("worker", working.check_worker, needs_database=True),
    Check("due work", working.check_waiting, needs_database=True),
    Check("late detections", working.check_stuck, needs_database=True),
    Check("callbacks", working.check_callbacks, needs_database=True),
)
