"""Whether the process lives, and whether it can do its work."""

from pathlib import Path

import pytest

from service.api.health import ROUTES
from service.kit.database import Database
from tests.api.doors import app_of, client_of, context_on


async def test_a_process_with_its_database_lives_and_is_ready(database: Database, tmp_path: Path) -> None:
    async with client_of(app_of(ROUTES, context_on(database, tmp_path))) as client:
        live, ready = await client.get("/livez"), await client.get("/readyz")
    assert (live.status_code, ready.status_code, ready.json()) == (200, 200, {"status": "ready"})


async def test_without_its_database_a_process_lives_and_is_not_ready(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def down(*_args: object) -> None:
        raise OSError("secret host name")

    monkeypatch.setattr(Database, "read", down)
    async with client_of(app_of(ROUTES, context_on(database, tmp_path))) as client:
        live, ready = await client.get("/livez"), await client.get("/readyz")
    assert (live.status_code, ready.status_code) == (200, 503)
    assert "secret" not in ready.text
