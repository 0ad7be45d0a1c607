"""`relay callback-url VENDOR`: the account-level address for the vendor's dashboard."""

import json
import sys
from datetime import timedelta
from typing import Annotated

import typer

from service.callbacks.addresses import address_token, rotate_address
from service.cli.options import JsonFlag
from service.cli.preflight import open_database
from service.kit.errors import SettingsError
from service.kit.security.sealing import Sealer
from service.kit.system_clock import system_clock
from service.settings import Settings, load_settings
from service.vendors import VENDORS

_VENDORS = tuple(name for name, vendor in VENDORS.items() if vendor.account_callbacks)


def command(
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
