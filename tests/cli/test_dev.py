"""`relay dev` as a developer meets it: what it prints can be pasted, and it is all there again the next day."""

import asyncio
import json
import os
import re
import shlex
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from service.cli.dev import _ENDING
from service.cli.dev_folder import kept_secret
from service.cli.dev_settings import dev_settings, settings_found
from service.kit.errors import SettingsError
from service.kit.signatures import new_secret
from service.settings import Settings
from service.vendors import VENDORS
from tests.cli.standin import listening
from tests.journeys.customer import Customer, customer
from tests.journeys.outside import inbox
from tests.journeys.processes import ROOT, Process, deployment, free_port
from tests.waiting import until

pytestmark = pytest.mark.timeout(120)


@dataclass
class Dev:
    """A running `relay dev`, and what it printed."""

    process: Process
    text: str

    @property
    def url(self) -> str:
        found: str = re.findall(r"^URL +(\S+)$", self.text, flags=re.MULTILINE)[0]
        return found

    @property
    def key(self) -> str:
        found: str = re.findall(r"^API key +(\S+)$", self.text, flags=re.MULTILINE)[0]
        return found

    @property
    def lines(self) -> list[str]:
        """The three lines to paste."""
        return [line for line in self.text.splitlines() if "curl " in line]

    @property
    def doctor(self) -> list[str]:
        """The arguments of the line that checks it."""
        (line,) = [line for line in self.text.splitlines() if line.startswith("relay doctor ")]
        return shlex.split(line)[1:]


@asynccontextmanager
async def dev(folder: Path, port: int = 0, **more: str) -> AsyncIterator[Dev]:
    """It has printed what it prints; at the end Ctrl-C ended it, with status 0."""
    log = folder.with_suffix(f".{free_port()}.log")
    environment = {"PATH": os.environ["PATH"], "SANDBOX_LATENCY_SECONDS": "0.3", **more}
    process = Process(["dev", "--port", str(port), "--data", str(folder)], environment, log)
    process.start()
    try:
        await until(lambda: "export RELAY_URL=" in process.log or process.running.poll() is not None, seconds=40)
        yield Dev(process, process.log)
        process.running.send_signal(signal.SIGINT)
        await until(lambda: process.running.poll() is not None or _ENDING in process.log, seconds=10)
        assert process.running.wait(40) == 0, process.log
        assert _ENDING in process.log
        assert "Traceback" not in process.log
        assert "\x1b" not in process.log  # no terminal reads it
    finally:
        if process.running.poll() is None:
            process.kill()


def relay(one: Dev, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """A command that was told what the exported line says, and nothing else."""
    said = dict(re.findall(r"(RELAY_\w+)=(\S+)", one.text))
    return subprocess.run(
        [sys.executable, "-m", "service", *arguments],
        env={"PATH": os.environ["PATH"], "COLUMNS": "80", **said, **more},
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


def paste(*lines: str) -> list[str]:
    """What each line printed, all in one shell."""
    script = "\necho ----\n".join(lines)
    done = subprocess.run(["bash", "-eu", "-c", script], check=True, capture_output=True, text=True, timeout=60)
    return [part.strip() for part in done.stdout.split("----\n")]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_what_is_printed_works_as_pasted_and_ctrl_c_ends_well(tmp_path: Path) -> None:
    async with dev(tmp_path / "a folder") as one:
        uploaded, answered, listed = await asyncio.to_thread(paste, *one.lines)
    result = json.loads(answered)
    assert re.fullmatch(r"med_[0-9a-z]{26}", uploaded)
    assert (result["track"]["media_id"], result["status"], result["verdict"]) == (uploaded, "completed", "ai_generated")
    assert [each["id"] for each in json.loads(listed)["data"]] == [result["id"]]


async def test_the_doctor_looks_at_the_folders_service_and_not_at_what_the_shell_says(tmp_path: Path) -> None:
    elsewhere = {"DATABASE_URL": "postgres://nobody@127.0.0.1:1/none", "SECRET_KEYS": "x" * 40, "PORT": "1"}
    async with dev(tmp_path / "a folder") as one:
        well = await asyncio.to_thread(relay, one, *one.doctor, **elsewhere)
    over = await asyncio.to_thread(relay, one, *one.doctor, "--json")
    assert (well.returncode, "fail" in well.stdout) == (0, False), well.stdout
    assert f"ok   round trip: {one.url} leads to this deployment" in well.stdout.splitlines()
    assert "ok   seals: " in well.stdout
    assert "ok   log format: LOG_FORMAT is console" in well.stdout
    assert (over.returncode, [row["name"] for row in json.loads(over.stdout) if row["level"] == "fail"]) == (
        1,
        ["round trip"],
    )


def test_the_doctor_makes_nothing_where_no_service_lives(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=f"no relay dev lives in {tmp_path}"):
        settings_found(tmp_path)
    assert list(tmp_path.iterdir()) == []


async def test_what_a_worker_counted_is_a_short_line_in_the_end(tmp_path: Path) -> None:
    async with dev(tmp_path / "dev") as one:
        await asyncio.to_thread(relay, one, "submit", str(tmp_path / "dev" / "tune.ai.wav"), "--wait")
    (line,) = [line for line in one.process.log.splitlines() if "worker.stopped" in line]
    assert f"'relay_runs_dispatched_total': {len(VENDORS)}" in line  # all detectors' together
    assert "detector=" not in line
    assert not re.search(r"': 0[,}]", line)


async def test_its_data_and_its_keys_are_kept_across_a_restart(tmp_path: Path) -> None:
    folder = tmp_path / "dev"
    async with dev(folder) as one, customer(one.url, one.key) as client:
        media_id = await Customer(client).upload(tmp_path, "x.ai.wav")
        detection_id = await Customer(client).ask(media_id)
        result = await Customer(client).ended(detection_id)
        key, secret = one.key, (folder / "secret").read_text(encoding="ascii")
    async with dev(folder) as one, customer(one.url, one.key) as client:
        assert await Customer(client).result(detection_id) == result
        await Customer(client).ended(await Customer(client).ask(media_id))  # the audio is there too
        assert (one.key, (folder / "secret").read_text(encoding="ascii")) == (key, secret)


async def test_only_its_owner_can_read_what_is_secret(tmp_path: Path) -> None:
    folder = tmp_path / "dev"
    async with dev(folder):
        assert [mode(folder), mode(folder / "secret"), mode(folder / "api-key")] == [0o700, 0o600, 0o600]
    (folder / "secret").chmod(0o644)
    async with dev(folder):
        assert mode(folder / "secret") == 0o600


def test_a_secret_that_is_gone_is_not_replaced_behind_its_databases_back(tmp_path: Path) -> None:
    secret = kept_secret(tmp_path)
    assert kept_secret(tmp_path) == secret
    (tmp_path / "relay.db").touch()
    (tmp_path / "secret").unlink()
    with pytest.raises(SettingsError, match="secret: gone"):
        kept_secret(tmp_path)


async def test_a_key_that_was_revoked_is_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "dev"
    async with dev(folder) as one:
        key = one.key
        with deployment(f"sqlite:///{folder / 'relay.db'}", tmp_path) as same:
            (row,) = json.loads(same.run("keys", "list", "--json"))["data"]
            same.run("keys", "revoke", row["key_id"])
    async with dev(folder) as one, customer(one.url, one.key) as client:
        assert one.key != key
        assert (await client.get("/v1/webhook-endpoints")).status_code == 200


async def test_relay_submit_waits_for_the_verdict_of_a_file(tmp_path: Path) -> None:
    async with dev(tmp_path / "dev") as one:
        tune = str(tmp_path / "dev" / "tune.ai.wav")
        shown = await asyncio.to_thread(relay, one, "submit", tune, "--wait", "--detectors", "asc,aippim/pro")
        as_json = await asyncio.to_thread(relay, one, "submit", tune, "--wait", "--json")
        refused = await asyncio.to_thread(relay, one, "submit", str(ROOT / "README.md"), tune, "--detectors", "nobody")
    assert shown.returncode == 0, shown.stderr
    assert "2 of 2 detectors report AI-generated music" in shown.stdout
    assert "aippim/pro" in shown.stdout
    assert json.loads(as_json.stdout)["verdict"] == "ai_generated"
    assert refused.returncode == 1
    assert "README.md: 415 unsupported_media" in refused.stderr
    assert "/detectors/0: 'nobody' is not offered here" in refused.stderr


async def test_webhooks_reach_this_machine_and_a_lost_callback_costs_seconds(tmp_path: Path) -> None:
    async with dev(tmp_path / "dev") as one, inbox() as receiver, customer(one.url, one.key) as client:
        made = await asyncio.to_thread(relay, one, "endpoints", "create", receiver.url, "--json")
        receiver.secrets.append(json.loads(made.stdout)["secret"])
        media_id = await Customer(client).upload(tmp_path, "x.lost-callback.wav")
        await Customer(client).ask(media_id, detectors=["aippim/standard"])
        await until(lambda: receiver.receiver.received, seconds=30)
    assert receiver.receiver.received[0].verified


async def test_relay_listen_forwards_across_a_restart_and_does_not_keep_it_from_ending(tmp_path: Path) -> None:
    port, secret = free_port(), new_secret()
    with ExitStack() as stack:
        async with inbox() as receiver:
            receiver.secrets.append(secret)
            options = ["--forward", receiver.url, "--secret", secret, "--types", "detection.*"]
            asked: list[str] = []
            received, log = receiver.receiver.received, tmp_path / "listen.log"
            for name in ("x.ai.wav", "y.ai.wav"):
                async with dev(tmp_path / "dev", port) as one, customer(one.url, one.key) as client:
                    if not asked:
                        stack.enter_context(listening(one.url, tmp_path, *options, key=one.key))
                        await until(lambda: "Listening" in log.read_text(encoding="utf-8"), seconds=20)
                    asked.append(await Customer(client).ask(await Customer(client).upload(tmp_path, name)))
                    await until(lambda: len(received) == len(asked), seconds=60)
    heard = [(webhook.verified, json.loads(webhook.body)["data"]["id"]) for webhook in received]
    assert heard == [(True, detection_id) for detection_id in asked]
    assert receiver.receiver.duplicates == 0


async def test_a_second_one_on_the_same_folder_refuses_and_says_why(tmp_path: Path) -> None:
    async with dev(tmp_path / "dev"):
        with pytest.raises(AssertionError, match="SQLite is one process"):
            async with dev(tmp_path / "dev"):
                pass


async def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        process = Process(
            ["dev", "--port", str(port), "--data", str(tmp_path / "dev")], dict(os.environ), tmp_path / "log"
        )
        process.start()
        await until(lambda: process.running.poll() is not None, seconds=20)
    assert process.running.returncode == 2
    assert f"try --port {port + 1}" in process.log
    assert not (tmp_path / "dev").exists()


@pytest.fixture
def bound() -> Iterator[socket.socket]:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        yield listener


def settings(folder: Path, bound: socket.socket, monkeypatch: pytest.MonkeyPatch, **environment: str) -> Settings:
    for name in ("PUBLIC_URL", "OUTBOUND_ALLOW", "OUTBOUND_HTTPS_ONLY", "LOG_FORMAT", "DATABASE_URL", "SECRET_KEYS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return dev_settings(folder, bound.getsockname()[1])


def test_its_place_is_its_own_whatever_the_environment_says(
    tmp_path: Path, bound: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = {
        "DATABASE_URL": "postgres://a@b/c",
        "SECRET_KEYS": "x" * 40,
        "HOST": "0.0.0.0",
        "MEDIA_STORE": "database:",
    }
    found = settings(tmp_path, bound, monkeypatch, **elsewhere)
    assert found.database_url == f"sqlite:///{tmp_path / 'relay.db'}"
    assert found.secret_keys == (kept_secret(tmp_path),)
    assert found.bind == ("127.0.0.1", bound.getsockname()[1])
    assert found.media_store == f"file:{tmp_path / 'media'}"
    assert found.public_url == found.sandbox_base == f"http://127.0.0.1:{bound.getsockname()[1]}"


def test_the_rest_is_the_environments_to_say(
    tmp_path: Path, bound: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {"PUBLIC_URL": "https://tunnel.example", "OUTBOUND_HTTPS_ONLY": "true", "AIPPIM_FIRST_POLL_SECONDS": "9"}
    found = settings(tmp_path, bound, monkeypatch, **said)
    aippim, asc = found.vendors["aippim"], found.vendors["asc"]
    assert (found.public_url, found.outbound_https_only, aippim.first_poll_seconds) == (
        "https://tunnel.example",
        True,
        9,
    )
    assert (found.log_format, aippim.poll_seconds, asc.first_poll_seconds) == ("console", 3, 6)
    assert [str(network) for network in found.outbound_allow] == ["127.0.0.0/8", "::1/128"]


def test_what_the_environment_has_wrong_is_named(
    tmp_path: Path, bound: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingsError, match="AIPPIM_POLL_SECONDS"):
        settings(tmp_path, bound, monkeypatch, AIPPIM_POLL_SECONDS="soon")
