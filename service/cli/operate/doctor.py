"""`relay doctor`: a line a check, `ok|warn|fail name: sentence`, and status 1 if anything fails.

`CHECKS` lists every check, in the order it is printed.
"""

import asyncio
import json
import os
import shlex
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

import typer

from service.cli.checks import configured, outside, stored, working
from service.cli.checks.finding import Check, Finding, Severity, World, fail, warn
from service.cli.options import JsonFlag
from service.cli.serve.dev_folder import settings_found
from service.detectors.exchange import Exchange
from service.kit.db.database import Database
from service.kit.errors import SettingsError
from service.resources import catalogue_of
from service.settings import Settings, load_settings
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
    Check("gates", working.check_gates, needs_database=True),
    Check("budgets", working.check_budgets, needs_database=True),
    Check("worker", working.check_worker, needs_database=True),
    Check("due work", working.check_waiting, needs_database=True),
    Check("late detections", working.check_stuck, needs_database=True),
    Check("callbacks", working.check_callbacks, needs_database=True),
)


_CHECK_SECONDS = 30.0


def command(
    data: Annotated[
        Path | None, typer.Option(help="A folder of relay dev: check the service that stores its data there.")
    ] = None,
    as_json: JsonFlag = False,
) -> int:
    """Print each check's finding as soon as it is made. Return 1 if a check failed, else 0.

    With `data`, it is the service that lives in this folder of `relay dev`'s, else the one the environment names.
    """
    folder = data and data.resolve()
    try:
        settings = settings_found(folder) if folder else load_settings()
    except SettingsError as error:
        found = [("settings", fail(line)) for line in str(error).splitlines()]
        _print_all(found, as_json=as_json)
        return 1
    dev = f"relay dev --data {shlex.quote(str(folder))}" if folder else None
    found = asyncio.run(_examined(settings, dev, as_json=as_json))
    if as_json:
        _print_all(found, as_json=True)
    return 1 if any(finding.level is Severity.FAIL for _, finding in found) else 0


async def examine(world: World) -> AsyncIterator[tuple[str, Finding]]:
    """Yield the name and finding of every check. A check that raises has failed, and stops no other."""
    answers = True
    for check in CHECKS:
        if check.needs_database and not answers:
            yield check.name, warn("not checked before the database is mended")
            continue
        finding = await _tried(check, world)
        if check.name == "database":
            answers = finding.level is not Severity.FAIL
        elif check.name == "schema" and finding.level is Severity.FAIL:
            answers = False
        yield check.name, finding


async def _tried(check: Check, world: World) -> Finding:
    try:
        async with asyncio.timeout(_CHECK_SECONDS):
            return await check.run(world)
    except Exception as error:  # noqa: BLE001 - the doctor goes on whatever one check meets
        return fail(f"could not be checked ({type(error).__name__}); mend what is above first, or report this")


async def _examined(settings: Settings, dev: str | None, *, as_json: bool) -> list[tuple[str, Finding]]:
    exchanges: list[Exchange] = []
    database, found = Database(settings.database_url, patience=settings.patience), []
    try:
        world = World(settings, database, catalogue_of(settings, exchanges), environment=os.environ, dev=dev)
        async for name, finding in examine(world):
            found.append((name, finding))
            if not as_json:
                _print_all([(name, finding)], as_json=False)
    finally:
        for exchange in exchanges:
            await exchange.aclose()
        database.close()
    return found


def _print_all(found: list[tuple[str, Finding]], *, as_json: bool) -> None:
    if as_json:
        rows = [{"level": finding.level, "name": name, "sentence": finding.sentence} for name, finding in found]
        sys.stdout.write(json.dumps(rows) + "\n")
        return
    for name, finding in found:
        sys.stdout.write(f"{finding.level:<4} {name}: {finding.sentence}\n")
        sys.stdout.flush()
