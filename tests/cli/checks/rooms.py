"""A deployment for the doctor to look at: settings as given, a database, a clock that stands still."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from service.cli.checks.finding import World
from service.detectors.exchange import Exchange
from service.kit.db.database import Database
from service.resources import catalogue_of
from service.settings import load_settings
from service.vendors import VENDORS

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
KEY = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0"
PUBLIC = "https://relay.example.com"


@asynccontextmanager
async def deployment(database: Database, **given: Any) -> AsyncIterator[World]:
    """The world of these settings. A vendor's are a dictionary under its name; `world` changes the world itself."""
    changes = given.pop("world", {})
    given["vendors"] = {name: VENDORS[name].settings(**given.pop(name)) for name in VENDORS if name in given}
    url = database.url.render_as_string(hide_password=False)
    settings = load_settings(**{"secret_keys": (KEY,), "database_url": url, **given})
    exchanges: list[Exchange] = []
    plain = World(settings, database, catalogue_of(settings, exchanges), clock=lambda: NOW, timeout_seconds=3)
    try:
        yield replace(plain, **changes)
    finally:
        for exchange in exchanges:
            await exchange.aclose()
