"""The probes say if the process is alive, and if it can do its work."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from service.api.operating.health import NONCE, PROOF, PURPOSE, ROUTES
from service.kit.db.database import Database
from service.kit.process.heartbeat import beat
from service.kit.security.tokens import Tokens
from tests.api.doors import NOW, TOKENS, app_of, client_of, context_on


async def ask(database: Database, folder: Path, path: str = "/readyz", **headers: str) -> tuple[int, dict[str, str]]:
    async with client_of(app_of(ROUTES, context_on(database, folder))) as client:
        answer = await client.get(path, headers=headers)
    return answer.status_code, answer.json()


def set_revision(database: Database, revision: str | None) -> None:
    with database.writing() as session:
        session.connection().execute(text("DELETE FROM alembic_version"))
        if revision:
            session.connection().execute(text("INSERT INTO alembic_version VALUES (:n)"), {"n": revision})


async def test_a_process_with_its_database_lives_and_is_ready(database: Database, tmp_path: Path) -> None:
    assert await ask(database, tmp_path, "/livez") == (200, {"status": "live"})
    ready = {"status": "ready", "database": "ok", "schema": "ok", "worker": "none"}
    assert await ask(database, tmp_path) == (200, ready)


async def test_without_its_database_a_process_lives_and_is_not_ready(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def down(*_args: object) -> None:
        raise OSError("secret host name")

    monkeypatch.setattr(Database, "read", down)
    assert await ask(database, tmp_path, "/livez") == (200, {"status": "live"})
    status, body = await ask(database, tmp_path)
    assert (status, body["status"], body["database"]) == (503, "not ready", "unreachable")
    assert "secret" not in str(body)


@pytest.mark.parametrize("revision", [None, "20261120"])
async def test_before_its_migrations_a_process_is_not_ready(
    database: Database, tmp_path: Path, revision: str | None
) -> None:
    set_revision(database, revision)
    status, body = await ask(database, tmp_path)
    assert (status, body["database"], body["schema"]) == (503, "ok", "behind")


async def test_while_a_release_goes_out_the_old_processes_stay_ready(database: Database, tmp_path: Path) -> None:
    set_revision(database, "20991231")
    status, body = await ask(database, tmp_path)
    assert (status, body["schema"]) == (200, "newer")


@pytest.mark.parametrize(("seconds", "word"), [(10, "ok"), (120, "silent"), (4000, "none")])
async def test_who_works_is_told_and_makes_nobody_unready(
    database: Database, tmp_path: Path, seconds: int, word: str
) -> None:
    await database.write(beat, "wrk_1", "host:1", {}, NOW - timedelta(seconds=seconds))
    status, body = await ask(database, tmp_path)
    assert (status, body["worker"]) == (200, word)


async def test_whoever_answers_can_prove_that_it_is_this_deployment(database: Database, tmp_path: Path) -> None:
    async with client_of(app_of(ROUTES, context_on(database, tmp_path))) as client:
        proof = (await client.get("/livez", headers={NONCE: "n-1"})).headers[PROOF]
        assert TOKENS.read(PURPOSE, proof, now=None) == ["n-1"]
        assert PROOF not in (await client.get("/livez", headers={NONCE: "a nonce"})).headers
    with pytest.raises(Exception, match="forged"):
        Tokens(["another key " * 4]).read(PURPOSE, proof, now=None)
