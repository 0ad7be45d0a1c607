"""Our accounts at the vendors: `relay callback-url`, `relay register-callback` and `relay quota`.

The account-level address is pasted into the vendor's dashboard, or registered by a request of its API. Requests for the
quota and the usage are counted by the vendor, so they pass its gate.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, TypeVar

import typer

from service.callbacks.addresses import address_token, rotate_address
from service.cli.options import JsonFlag
from service.cli.preflight import open_database
from service.detectors.catalogue import ConfiguredVendor
from service.detectors.exchange import Exchange, VendorError
from service.detectors.extensions import RegistersCallbackUrl, ReportsAccount
from service.detectors.port import Raw, Refused
from service.kit.clock import rfc3339
from service.kit.db.database import Database
from service.kit.errors import SettingsError
from service.kit.security.sealing import Sealer
from service.kit.system_clock import system_clock
from service.quotas.feedback import quota_feedback
from service.quotas.gate_store import admit_request, record_feedback
from service.resources import catalogue_of
from service.settings import Settings, load_settings
from service.vendors import VENDORS

_VENDORS = tuple(name for name, vendor in VENDORS.items() if vendor.account_callbacks)
_NOT_CONFIRMED = "accepted, not confirmed: the answer does not say that the address is in force"
T = TypeVar("T")


def print_callback_url(
    vendor: Annotated[str, typer.Argument(help="The vendor, for example aippim.")],
    mode: Annotated[str, typer.Option(help="live or test.")] = "live",
    rotate: Annotated[
        bool, typer.Option("--rotate", help="Make a new URL; the old one stays valid for a while.")
    ] = False,
    overlap_hours: Annotated[float, typer.Option(help="How many hours the old URL stays valid.")] = 72,
    as_json: JsonFlag = False,
) -> None:
    """Print the address; with `rotate` a new one, and keep the old one valid for the overlap."""
    if vendor not in _VENDORS:
        raise typer.BadParameter(
            f"has no account-level callback; use one of: {', '.join(_VENDORS)}", param_hint="VENDOR"
        )
    if mode not in ("live", "test"):
        raise typer.BadParameter("must be live or test", param_hint="--mode")
    settings = load_settings()
    url = account_address(settings, vendor, mode, rotate=rotate, overlap_hours=overlap_hours)
    sys.stdout.write(json.dumps({"vendor": vendor, "mode": mode, "url": url}) + "\n" if as_json else f"{url}\n")


def account_address(
    settings: Settings, vendor: str, mode: str, *, rotate: bool = False, overlap_hours: float = 0
) -> str:
    """Return the address for all the vendor's callbacks; create it at the first call."""
    return f"{_base(settings, mode)}/callbacks/{vendor}/{_token(settings, vendor, mode, rotate, overlap_hours)}"


def _base(settings: Settings, mode: str) -> str:
    base = settings.public_url if mode == "live" else settings.sandbox_base
    if base is None:
        raise SettingsError(
            "PUBLIC_URL: required, it is how the vendor reaches us; for example https://relay.example.com"
        )
    return base


def _token(settings: Settings, vendor: str, mode: str, rotate: bool, overlap_hours: float) -> str:
    database, sealer, now = open_database(settings), Sealer(settings.secret_keys), system_clock()
    try:
        with database.writing() as session:
            if rotate:
                overlap = timedelta(hours=overlap_hours)
                return rotate_address(session, mode, vendor, sealer, overlap=overlap, now=now)
            return address_token(session, mode, vendor, sealer, now)
    finally:
        database.close()


@dataclass(frozen=True, slots=True)
class Registration:
    """What the vendor made of our address, and why it did not take it or why that is not certain."""

    taken: bool
    reason: str | None = None


def register_callback(
    vendor: Annotated[str, typer.Argument(help="The vendor, for example asc.")],
    mode: Annotated[str, typer.Option(help="live or test.")] = "live",
    as_json: JsonFlag = False,
) -> int:
    """Register our address with the vendor. Return 1 if the vendor refuses it. Safe to repeat."""
    if mode not in ("live", "test"):
        raise typer.BadParameter("must be live or test", param_hint="--mode")
    settings = load_settings()
    answer = asyncio.run(_register(settings, vendor, mode))
    told = {"vendor": vendor, "mode": mode, "registered": answer.taken, "reason": answer.reason}
    if as_json:
        sys.stdout.write(json.dumps(told) + "\n")
    elif not answer.taken:
        sys.stderr.write(f"{vendor} did not take the address: {answer.reason}\n")
    elif answer.reason is not None:
        sys.stdout.write(f"{vendor}: {answer.reason} ({mode})\n")
    else:
        sys.stdout.write(f"{vendor} calls back at this deployment's account address now ({mode})\n")
    return int(not answer.taken)


async def _register(settings: Settings, vendor: str, mode: str) -> Registration:
    exchanges: list[Exchange] = []
    try:
        catalogue = catalogue_of(settings, exchanges)
        takers = [
            configured.adapter.vendor
            for configured in catalogue.configured_in("test")
            if isinstance(configured.adapter, RegistersCallbackUrl)
        ]
        if vendor not in takers:
            text = f"takes no address by its API; use one of: {', '.join(takers)}"
            raise typer.BadParameter(text, param_hint="VENDOR")
        configured = catalogue.configured(mode, vendor)
        if configured is None:
            raise SettingsError(f"{settings.vendors[vendor].needed[0]}: required, {vendor} must know us")
        return await _register_with(configured, account_address(settings, vendor, mode))
    finally:
        for exchange in exchanges:
            await exchange.aclose()


async def _register_with(configured: ConfiguredVendor, url: str) -> Registration:
    adapter = configured.adapter
    if not isinstance(adapter, RegistersCallbackUrl):
        return Registration(taken=False, reason="takes no address")
    try:
        raw = await adapter.register(url)
    except VendorError as error:
        return Registration(taken=False, reason=str(error))
    refused = adapter.parse_registration(raw)
    if refused is not None:
        return Registration(taken=False, reason=refused.reason_text)
    return Registration(taken=True, reason=None if adapter.confirmed(raw) else _NOT_CONFIRMED)


def print_quota(as_json: JsonFlag = False) -> int:
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
