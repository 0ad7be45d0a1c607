"""`relay dev` as a developer meets it: what it prints can be pasted. One service is started for most of it."""

import asyncio
import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.dev_running import Dev, dev, relay, relay_process
from tests.journeys.customer import Customer, customer
from tests.journeys.outside import inbox
from tests.journeys.processes import ROOT, Process
from tests.waiting import until

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
async def live(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Dev]:
    """Run it for all tests of this file, which may come in any order: started as by a person, in `a folder`."""
    async with dev(tmp_path_factory.mktemp("dev") / "a folder", forked=False) as one:
        yield one


def paste(*lines: str) -> list[str]:
    """What each line printed, all in one shell."""
    script = "\necho ----\n".join(lines)
    done = subprocess.run(["bash", "-eu", "-c", script], check=True, capture_output=True, text=True, timeout=60)
    return [part.strip() for part in done.stdout.split("----\n")]


async def test_what_is_printed_works_as_pasted(live: Dev) -> None:
    uploaded, answered, listed = await asyncio.to_thread(paste, *live.lines)
    result = json.loads(answered)
    assert re.fullmatch(r"med_[0-9a-z]{26}", uploaded)
    assert (result["track"]["media_id"], result["status"], result["verdict"]) == (uploaded, "completed", "ai_generated")
    assert json.loads(listed)["data"][0]["id"] == result["id"]


async def test_the_doctor_looks_at_the_folders_service_and_not_at_what_the_shell_says(live: Dev) -> None:
    elsewhere = {"DATABASE_URL": "postgres://nobody@127.0.0.1:1/none", "SECRET_KEYS": "x" * 40, "PORT": "1"}
    well = await asyncio.to_thread(relay_process, live, *live.doctor, **elsewhere)
    assert (well.returncode, "fail" in well.stdout) == (0, False), well.stdout
    assert f"ok   round trip: {live.url} leads to this deployment" in well.stdout.splitlines()
    assert "ok   seals: " in well.stdout
    assert "ok   log format: LOG_FORMAT is console" in well.stdout


async def test_relay_submit_waits_for_the_verdict_of_a_file(live: Dev, tmp_path: Path) -> None:
    tune = str(shutil.copy(live.folder / "tune.ai.wav", tmp_path))
    shown = await asyncio.to_thread(relay_process, live, "submit", tune, "--wait", "--detectors", "asc,aippim/pro")
    as_json = await relay(live, "submit", tune, "--wait", "--json")
    refused = await relay(live, "submit", str(ROOT / "README.md"), tune, "--detectors", "nobody")
    assert shown.returncode == 0, shown.stderr
    assert "2 of 2 detectors report AI-generated music" in shown.stdout
    assert "aippim/pro" in shown.stdout
    assert json.loads(as_json.stdout)["verdict"] == "ai_generated"
    assert refused.exit_code == 1
    assert "README.md: 415 unsupported_media" in refused.stderr
    assert "/detectors/0: 'nobody' is not an available detector" in refused.stderr


async def test_webhooks_reach_this_machine_and_a_lost_callback_costs_seconds(live: Dev, tmp_path: Path) -> None:
    async with inbox() as receiver, customer(live.url, live.key) as client:
        made = json.loads((await relay(live, "endpoints", "create", receiver.url, "--json")).stdout)
        receiver.secrets.append(made["secret"])
        media_id = await Customer(client).upload(tmp_path, "x.lost-callback.wav")
        detection_id = await Customer(client).ask(media_id, detectors=["aippim/standard"])

        def told() -> list[bool]:
            webhooks = receiver.receiver.received
            return [webhook.verified for webhook in webhooks if json.loads(webhook.body)["data"]["id"] == detection_id]

        await until(told, seconds=60)
        assert all(told())
        assert (await client.delete(f"/v1/webhook-endpoints/{made['id']}")).is_success


async def test_a_second_one_on_the_same_folder_refuses_and_says_why(live: Dev) -> None:
    with pytest.raises(AssertionError, match="SQLite is one process"):
        async with dev(live.folder):
            pass


async def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        command = ["dev", "--port", str(port), "--data", str(tmp_path / "dev")]
        process = Process(command, dict(os.environ), tmp_path / "log", forked=True)
        process.start()
        await until(lambda: process.running.poll() is not None, seconds=60)
    assert process.running.returncode == 2
    assert f"try --port {port + 1}" in process.log
    assert not (tmp_path / "dev").exists()
