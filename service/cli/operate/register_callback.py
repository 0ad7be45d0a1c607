"""`relay register-callback VENDOR`: the vendor is told our account's address, by a request of its API."""

import asyncio
import json
import sys
from dataclasses import dataclass
from typing import Annotated

import typer

from service.cli.operate.callback_url import account_address
from service.cli.options import JsonFlag
from service.detectors.catalogue import ConfiguredVendor
from service.detectors.exchange import Exchange, VendorError
from service.detectors.extensions import RegistersCallbackUrl
from service.kit.errors import SettingsError
from service.resources import catalogue_of
from service.settings import Settings, load_settings

_NOT_CONFIRMED = "accepted, not confirmed: the answer does not say that the address is in force"


@dataclass(frozen=True, slots=True)
class Registration:
    """What the vendor made of our address, and why it did not take it or why that is not certain."""

    taken: bool
    reason: str | None = None


def command(
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
