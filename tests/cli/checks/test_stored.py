"""The doctor finds each trouble with the database that it claims to find."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from service.accounts.models import Account
from service.cli.checks import stored
from service.cli.checks.finding import Finding, Severity
from service.events.outbox import Outbox
from service.events.types import Draft, EventType
from service.kit.db.database import Database
from service.kit.db.server import connections_allowed
from service.kit.process.heartbeat import beat
from service.kit.security.sealing import Sealer
from service.kit.system_clock import system_clock
from service.webhooks.endpoints.registry import NewEndpoint, create_endpoint
from tests.cli.checks.rooms import KEY, NOW, deployment


def says(finding: Finding, level: str, words: str) -> None:
    assert (finding.level, words in finding.sentence) == (level, True), finding


async def test_a_healthy_database_passes(database: Database) -> None:
    async with deployment(database, world={"clock": system_clock}) as world:
        found = [
            await check(world)
            for check in (
                stored.check_database, stored.check_schema, stored.check_sqlite_disk, stored.check_postgres_version,
                stored.check_connections, stored.check_listen, stored.check_clock, stored.check_seals,
                stored.check_sslmode,
            )
        ]  # fmt: skip
    assert [finding for finding in found if finding.level is not Severity.OK] == []


async def test_a_file_that_is_not_there_is_found_and_not_made(tmp_path: Path) -> None:
    none = Database(f"sqlite:///{tmp_path / 'none.db'}")
    async with deployment(none) as world:
        says(await stored.check_database(world), "fail", "relay migrate")
    none.close()
    assert list(tmp_path.iterdir()) == []  # noqa: ASYNC240 - a look at the test's own folder


async def test_a_server_that_does_not_answer_is_found() -> None:
    closed = Database("postgresql://127.0.0.1:1/relay?connect_timeout=2")
    async with deployment(closed) as world:
        says(await stored.check_database(world), "fail", "does not answer")
        says(await stored.check_listen(world), "warn", "DATABASE_LISTEN_URL")
    closed.close()


@pytest.mark.parametrize(("revision", "level", "words"), [("20261120", "fail", "migrate"), ("2099", "warn", "newer")])
async def test_another_schema_is_found(database: Database, revision: str, level: str, words: str) -> None:
    with database.writing() as session:
        session.connection().execute(text("UPDATE alembic_version SET version_num = :n"), {"n": revision})
    async with deployment(database) as world:
        says(await stored.check_schema(world), level, words)


async def test_a_network_disk_is_found(sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"disk / ext4 rw 0 0\nserver:/x {tmp_path} nfs4 rw 0 0\n", encoding="utf-8")
    monkeypatch.setattr(stored, "_MOUNTS", mounts)
    database = Database(sqlite_url)
    async with deployment(database) as world:
        says(await stored.check_sqlite_disk(world), "fail", "nfs4")
    database.close()


async def test_a_folder_that_cannot_be_written_to_is_found(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda *_args: False)  # root, as whom tests may run, may write anywhere
    database = Database(sqlite_url)
    async with deployment(database) as world:
        says(await stored.check_sqlite_disk(world), "fail", "cannot be written to")
    database.close()


@pytest.fixture
def postgres(postgres_url: str) -> Database:
    return Database(postgres_url)


async def test_an_old_server_is_found(postgres: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "_OLDEST_POSTGRES", 99)
    async with deployment(postgres) as world:
        says(await stored.check_postgres_version(world), "fail", "upgrade")
    postgres.close()


async def test_too_many_processes_for_the_server_are_found(postgres: Database) -> None:
    async with deployment(postgres, web_concurrency=64) as world:
        says(await stored.check_connections(world), "fail", "65 processes may need 327 connections")
        await postgres.write(beat, "w1", "h:1", {}, NOW)
        await postgres.write(beat, "w2", "h:2", {}, NOW)
        says(await stored.check_connections(world), "fail", "66 processes")
    postgres.close()


async def test_a_limit_of_the_role_counts_too(postgres: Database) -> None:
    with postgres.writing() as session:
        session.connection().execute(text("CREATE ROLE narrow CONNECTION LIMIT 7"))
        session.connection().execute(text("SET LOCAL ROLE narrow"))
        assert connections_allowed(session) == 7
        session.rollback()
    postgres.close()


async def test_deafness_is_found(postgres: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    async def deaf(*_args: object) -> bool:
        await asyncio.sleep(0)
        return False

    monkeypatch.setattr(stored, "can_listen", deaf)
    async with deployment(postgres) as world:
        says(await stored.check_listen(world), "warn", "DATABASE_LISTEN_URL")
    postgres.close()


@pytest.mark.parametrize("seconds", [-5, 5])
async def test_a_clock_that_is_off_is_found(postgres: Database, seconds: int) -> None:
    async with deployment(postgres, world={"clock": lambda: datetime.now(UTC) + timedelta(seconds=seconds)}) as world:
        says(await stored.check_clock(world), "fail", "NTP")
    postgres.close()


async def test_a_key_that_is_missing_is_found_and_named(database: Database) -> None:
    lost = Sealer(["a key that nobody lists any more, alas"])
    with database.writing() as session:
        create_endpoint(session, NewEndpoint("acc_1", "live", "https://x.example", ["*"]), lost, NOW)
    async with deployment(database) as world:
        finding = await stored.check_seals(world)
    says(finding, "fail", f"1 in endpoint_secret.sealed (key {lost.key_ids[0]})")
    assert "relay rotate-keys" not in finding.sentence
    async with deployment(database, secret_keys=(KEY, "a key that nobody lists any more, alas")) as world:
        says(await stored.check_seals(world), "ok", "can be opened")


@pytest.mark.parametrize(
    ("address", "level"),
    [
        ("postgres://u:p@db.example.com/relay", "warn"),
        ("postgres://u:p@db.example.com/relay?sslmode=prefer", "warn"),
        ("postgres://u:p@db.example.com/relay?sslmode=require", "ok"),
        ("postgres:///relay?host=/run/postgresql", "ok"),
    ],
)
async def test_a_remote_database_in_clear_is_found(address: str, level: str) -> None:
    far = Database(address)
    async with deployment(far) as world:
        assert (await stored.check_sslmode(world)).level == level
    far.close()


async def test_events_that_a_restored_number_hides_from_the_feed_are_found(database: Database) -> None:
    with database.writing() as session:
        session.add(Account(id="acc_1", name="one", created_at=NOW))
        drafts = [Draft("acc_1", mode, EventType.DETECTION_FAILED, {"n": 1}) for mode in ("live", "test")]
        Outbox().record(session, drafts, NOW)
    async with deployment(database) as world:
        says(await stored.check_feed(world), "ok", "can be read")
        if database.is_sqlite:
            return
        with database.writing() as session:  # as a dump of a server that had begun more transactions
            session.connection().execute(text("UPDATE event SET transaction_id = 1000000000 WHERE mode = 'test'"))
        says(await stored.check_feed(world), "fail", "1 event has a transaction number")
        with database.writing() as session:
            session.connection().execute(text("UPDATE event SET transaction_id = 0"))
        says(await stored.check_feed(world), "ok", "can be read")
