"""`relay quota`: what each live vendor that can tell says is left, and what was used."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from service.cli.options import JsonFlag
from service.cli.preflight import open_database
from service.detectors.catalogue import ConfiguredVendor
from service.detectors.exchange import Exchange, VendorError
from service.detectors.extensions import ReportsAccount
from service.detectors.port import Raw, Refused
from service.kit.clock import rfc3339
from service.kit.db.database import Database
from service.kit.system_clock import system_clock
from service.quotas.feedback import quota_feedback
from service.quotas.gate_store import admit_request, record_feedback
from service.resources import catalogue_of
from service.settings import Settings, load_settings

T = TypeVar("T")


def command(as_json: JsonFlag = False) -> int:
    """Print what the vendors report. Return 1 if one that can report its quota did not, else 0."""
    told, could = asyncio.run(_query_all(load_settings()))
    sys.stdout.write(json.dumps(told) + "\n" if as_json else _in_words(told, could))
    return int(any("refused" in one["quota"] for one in told))


async def _query_all(settings: Settings) -> tuple[list[dict[str, Any]], list[str]]:
    """Return each vendor's report, and the settings that reporting vendors need."""
    exchanges: list[Exchange] = []
    database = open_database(settings)
    try:
        catalogue = catalogue_of(settings, exchanges)
        tellers = [
            (configured, configured.adapter)
            for configured in catalogue.configured_in("live")
            if isinstance(configured.adapter, ReportsAccount)
        ]
        able = [
            configured.adapter.vendor
            for configured in catalogue.configured_in("test")
            if isinstance(configured.adapter, ReportsAccount)
        ]
        needed = [name for vendor in able for name in settings.vendors[vendor].needed]
        return [await _query(database, configured, adapter) for configured, adapter in tellers], needed
    finally:
        for exchange in exchanges:
            await exchange.aclose()
        database.close()


async def _query(database: Database, configured: ConfiguredVendor, adapter: ReportsAccount) -> dict[str, Any]:
    """Query one vendor. The vendor counts each request, so each passes its gate."""
    status = await _one(
        database, configured, adapter.fetch_status, lambda raw: _report(adapter.parse_status(raw), dict)
    )
    quota = await _one(
        database, configured, adapter.fetch_quota, lambda raw: _quota(database, configured, adapter, raw)
    )
    usage = {
        period: await _one(
            database,
            configured,
            lambda period=period: adapter.fetch_usage(period),  # type: ignore[misc] # a default binds the loop's value
            lambda raw, period=period: _report(  # type: ignore[misc] # the same
                adapter.parse_usage(raw, period), lambda usage: {**usage.counts, **usage.more}
            ),
        )
        for period in adapter.periods
    }
    return {"vendor": configured.adapter.vendor, "status": status, "quota": quota, "usage": usage}


async def _one(
    database: Database,
    configured: ConfiguredVendor,
    ask: Callable[[], Awaitable[Raw]],
    read: Callable[[Raw], dict[str, Any]],
) -> dict[str, Any]:
    key = ("live", configured.adapter.vendor)
    hold = await database.write(admit_request, key, configured.policy.limits, system_clock())
    if hold is not None:
        return {"refused": f"not asked: {hold.waiting_for.value} until {rfc3339(hold.until)}"}
    try:
        raw = await ask()
    except VendorError as error:
        return {"refused": str(error)}
    return read(raw)


def _quota(database: Database, configured: ConfiguredVendor, adapter: ReportsAccount, raw: Raw) -> dict[str, Any]:
    quota = adapter.parse_quota(raw)
    key = ("live", configured.adapter.vendor)
    with database.writing() as session:
        record_feedback(session, key, configured.policy.limits, quota_feedback(raw, quota), system_clock())
    if isinstance(quota, Refused):
        return {"refused": quota.reason_text}
    resets_at = rfc3339(quota.resets_at) if quota.resets_at else None
    return {
        "plan": quota.plan,
        "limit": quota.limit,
        "used": quota.used,
        "remaining": quota.remaining,
        "resets_at": resets_at,
    }


def _report(said: T | Refused, shape: Callable[[T], dict[str, Any]]) -> dict[str, Any]:
    return {"refused": said.reason_text} if isinstance(said, Refused) else shape(said)


def _in_words(told: list[dict[str, Any]], could: list[str]) -> str:
    if not told:
        return f"No live vendor that can tell is configured; set {' or '.join(could)}\n"
    return "".join(
        f"{one['vendor']}  {name}: {_values_text(said)}\n"
        for one in told
        for name, said in (
            ("status", one["status"]),
            ("quota", one["quota"]),
            *((f"usage, {period}", said) for period, said in one["usage"].items()),
        )
    )


def _values_text(said: dict[str, Any]) -> str:
    if "refused" in said:
        return str(said["refused"])
    return ", ".join(f"{name} {value}" for name, value in said.items() if value is not None)
