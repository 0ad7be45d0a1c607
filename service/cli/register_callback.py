"""`relay register-callback VENDOR`: the vendor is told our account's address, by a request of its API."""

import asyncio
import json
import sys

import typer

from service.cli.callback_url import account_address
from service.detectors.catalogue import Line
from service.detectors.exchange import Exchange, VendorError
from service.detectors.offers import TakesAddress
from service.kit.errors import SettingsError
from service.resources import catalogue_of
from service.settings import Settings, load_settings


def register_callback(vendor: str, mode: str, *, as_json: bool) -> int:
    """The vendor has our address. 1 if it would not take it; safe to repeat."""
    if mode not in ("live", "test"):
        raise typer.BadParameter("must be live or test", param_hint="--mode")
    settings = load_settings()
    failure = asyncio.run(_register(settings, vendor, mode))
    told = {"vendor": vendor, "mode": mode, "registered": failure is None, "reason": failure}
    if as_json:
        sys.stdout.write(json.dumps(told) + "\n")
    elif failure is None:
        sys.stdout.write(f"{vendor} calls back at this deployment's account address now ({mode})\n")
    else:
        sys.stderr.write(f"{vendor} did not take the address: {failure}\n")
    return int(failure is not None)


async def _register(settings: Settings, vendor: str, mode: str) -> str | None:
    exchanges: list[Exchange] = []
    try:
        catalogue = catalogue_of(settings, exchanges)
        takers = [line.adapter.vendor for line in catalogue.lines("test") if isinstance(line.adapter, TakesAddress)]
        if vendor not in takers:
            text = f"takes no address by its API; use one of: {', '.join(takers)}"
            raise typer.BadParameter(text, param_hint="VENDOR")
        line = catalogue.line(mode, vendor)
        if line is None:
            raise SettingsError(f"{settings.vendors[vendor].needed[0]}: required, {vendor} must know us")
        return await _tell(line, account_address(settings, vendor, mode))
    finally:
        for exchange in exchanges:
            await exchange.aclose()


async def _tell(line: Line, url: str) -> str | None:
    adapter = line.adapter
    if not isinstance(adapter, TakesAddress):
        return "takes no address"
    try:
        refused = adapter.registered(await adapter.register(url))
    except VendorError as error:
        return str(error)
    return None if refused is None else refused.reason_text
