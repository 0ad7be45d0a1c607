"""`relay doctor`: a line a check, `ok|warn|fail name: sentence`, and status 1 if anything fails."""

import asyncio
import json
import os
import shlex
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

import typer

from service.cli.checks.finding import Check, Finding, Level, World, fail, warn
from service.cli.checks.table import CHECKS
from service.cli.local.dev_settings import settings_found
from service.cli.options import JsonFlag
from service.detectors.exchange import Exchange
from service.kit.db.database import Database
from service.kit.errors import SettingsError
from service.resources import catalogue_of
from service.settings import Settings, load_settings

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
    return 1 if any(finding.level is Level.FAIL for _, finding in found) else 0


async def examine(world: World) -> AsyncIterator[tuple[str, Finding]]:
    """Every check's name and finding. A check that breaks has failed, and stops no other."""
    answers = True
    for check in CHECKS:
        if check.needs_database and not answers:
            yield check.name, warn("not checked before the database is mended")
            continue
        finding = await _tried(check, world)
        if check.name == "database":
            answers = finding.level is not Level.FAIL
        elif check.name == "schema" and finding.level is Level.FAIL:
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
