"""The doctor finds each trouble with the work that it claims to find."""

import shutil
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from service.callbacks.models import Callback
from service.cli.checks import working
from service.cli.checks.finding import Finding, Severity
from service.kit.db.database import Database
from service.kit.process.heartbeat import beat
from tests.cli.checks.rooms import NOW, deployment
from tests.detections.rows import World as Rows
from tests.detections.rows import alter, policy_of
from tests.detections.scripted import asc


def says(finding: Finding, level: str, words: str) -> None:
    assert (finding.level, words in finding.sentence) == (level, True), finding


async def test_a_deployment_at_rest_passes(database: Database, tmp_path: Path) -> None:
    await database.write(beat, "w1", "host:1", {}, NOW)
    store = f"file:{tmp_path / 'media'}" if database.is_sqlite else "database:"
    async with deployment(database, media_store=store) as world:
        found = [
            await check(world)
            for check in (
                working.check_media_store, working.check_media_shared, working.check_disk_space, working.check_worker,
                working.check_waiting, working.check_stuck, working.check_callbacks,
            )
        ]  # fmt: skip
    assert [finding for finding in found if finding.level is not Severity.OK] == []


async def test_a_store_that_cannot_be_written_to_is_found(database: Database, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder", encoding="ascii")
    async with deployment(database, media_store=f"file:{tmp_path / 'file'}") as world:
        says(await working.check_media_store(world), "fail", "cannot be written to")


async def test_a_folder_for_separate_processes_is_found(postgres_url: str, tmp_path: Path) -> None:
    database = Database(postgres_url)
    async with deployment(database, media_store=f"file:{tmp_path}") as world:
        says(await working.check_media_shared(world), "fail", "use database:")
    database.close()


@pytest.mark.parametrize(("mebibytes", "level"), [(50, "fail"), (500, "warn"), (5000, "ok")])
async def test_a_full_disk_is_found(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, mebibytes: int, level: str
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=mebibytes * 1024 * 1024))
    database = Database(sqlite_url)
    async with deployment(database) as world:
        says(await working.check_disk_space(world), level, f"{mebibytes} MiB")
    database.close()


async def test_that_nobody_works_is_found(database: Database) -> None:
    async with deployment(database) as world:
        says(await working.check_worker(world), "warn", "no worker has ever run")
        await database.write(beat, "w1", "host:1", {}, NOW - timedelta(seconds=61))
        says(await working.check_worker(world), "fail", "host:1, is 61 s old")
        await database.write(beat, "w2", "host:2", {}, NOW - timedelta(seconds=59))
        says(await working.check_worker(world), "ok", "1 at work")


async def test_work_that_nobody_takes_up_is_found(database: Database) -> None:
    here = Rows(database, policy_of(asc()))
    here.submit("asc")
    async with deployment(database) as world:
        says(await working.check_waiting(world), "ok", "taken up")
        alter(database, here.runs(), due_at=NOW - timedelta(seconds=301))
        says(await working.check_waiting(world), "fail", "runs_queued (1, 301 s)")


async def test_a_late_detection_is_found(database: Database) -> None:
    here = Rows(database, policy_of(asc()))
    detection_id = here.submit("asc")
    alter(database, [here.detection(detection_id)], answer_by_at=NOW - timedelta(seconds=60))
    async with deployment(database) as world:
        says(await working.check_stuck(world), "warn", "1 detection is late, the first by 60 s")


@pytest.mark.parametrize(
    ("state", "level", "words"),
    [("quarantined", "warn", "1 callback was rejected"), ("stuck", "fail", "1 callback could not")],
)
async def test_a_callback_nobody_could_use_is_found(database: Database, state: str, level: str, words: str) -> None:
    with database.writing() as session:
        session.add(
            Callback(
                id="cbk_1",
                mode="live",
                vendor="asc",
                subject="s",
                body_sha256="h",
                body=b"{}",
                headers_json="{}",
                authenticity="none",
                state=state,
                received_at=NOW,
            )
        )
    async with deployment(database) as world:
        says(await working.check_callbacks(world), level, words)


@pytest.mark.parametrize("live", [0, 1])
async def test_what_a_twin_forged_is_none_of_the_operators_business(database: Database, live: int) -> None:
    with database.writing() as session:
        session.add_all(_rejected(n, "test") for n in range(3))
        session.add_all(_rejected(n, "live") for n in range(live))
    async with deployment(database) as world:
        found = await working.check_callbacks(world)
    says(found, *(("warn", "1 callback was rejected") if live else ("ok", "no callback was rejected")))


def _rejected(n: int, mode: str) -> Callback:
    return Callback(
        id=f"cbk_{mode}_{n}",
        mode=mode,
        vendor="asc",
        subject="",
        body_sha256=f"{mode}{n}",
        body=b"{}",
        headers_json="{}",
        authenticity="none",
        state="quarantined",
        received_at=NOW,
    )
