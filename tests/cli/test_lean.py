"""What a process that serves does not load: each of these is a megabyte or several, for as long as it runs."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from service.cli.serve.lean import for_a_server

_SERVES = """
import asyncio, sys
from service.cli.serve.lean import web_from_environment

async def serve():
    app = web_from_environment()
    async with app.router.lifespan_context(app):
        sent = []
        scope = {"type": "http", "method": "GET", "path": "/readyz", "headers": [], "query_string": b"", "client": None}
        async def send(message):
            sent.append(message)
        async def receive():
            return {"type": "http.request", "body": b""}
        await app(scope, receive, send)
        assert sent[0]["status"] == 200, sent
asyncio.run(serve())
print(*sys.modules)
"""
_NEVER = {
    "rich": "for terminals",
    "pygments": "for terminals",
    "watchfiles": "for who changes the source",
    "alembic": "migrates",
    "mako": "what alembic writes files with",
    "service.api.contract.document": "made when it is asked for",
    "service.kit.schema.migrate": "migrates",
    "service.api.schemas": "what that document is made of",
    "service.bench": "measures",
    "prometheus_client": "writes /metrics, for the few processes that are asked",
    "standardwebhooks": "verifies, as a customer does",
}
_OTHERS = {
    "sqlite": {"psycopg", "service.kit.db.postgres", "service.kit.db.listen"},
    "postgresql": {"sqlite3"},
}


def test_a_web_process_with_a_worker_loads_nothing_that_it_has_no_use_for(database_url: str, tmp_path: Path) -> None:
    kind = database_url.partition(":")[0]
    environment = {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": database_url,
        "SECRET_KEYS": "k" * 40,
        "MEDIA_STORE": f"file:{tmp_path / 'media'}" if kind == "sqlite" else "database:",
        "RELAY_WITH_WORKER": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", _SERVES], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert {"service.worker", "aiohttp", "sqlalchemy.orm"} <= loaded
    assert loaded & (_NEVER.keys() | _OTHERS[kind]) == set()


def test_the_list_of_commands_loads_no_part_of_the_service() -> None:
    code = "import sys, service.cli.commands; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True).stdout
    assert set(loaded.split()) & {"sqlalchemy", "pydantic", "structlog", "httpx", "aiohttp", "psycopg"} == set()


def test_what_is_hidden_can_be_had_again(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in sys.modules if each.partition(".")[0] == "pygments"]:
        monkeypatch.delitem(sys.modules, name)
    with for_a_server(), pytest.raises(ImportError):
        importlib.import_module("pygments")
    assert importlib.import_module("pygments") is sys.modules["pygments"]
