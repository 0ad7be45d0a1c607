"""What `relay dev` keeps from one start to the next, and what it mends: three days of one folder."""

import json
import re
import stat
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.accounts import api_keys
from service.kit.db.database import Database
from service.kit.security.signatures import new_secret
from service.kit.system_clock import system_clock
from service.vendors import VENDORS
from tests.cli.dev_running import Dev, dev, relay_copied
from tests.cli.standin import listening
from tests.journeys.customer import Customer, customer
from tests.journeys.outside import Inbox, inbox
from tests.journeys.processes import free_port
from tests.waiting import until

pytestmark = pytest.mark.timeout(300)


@dataclass
class Kept:
    """What the first day left."""

    key: str
    secret: str
    media_id: str
    result: dict[str, Any]


class Listener:
    """`relay listen`, started once a service is there, and a receiver that it forwards to."""

    def __init__(self, folder: Path, receiver: Inbox, stack: ExitStack) -> None:
        self.receiver = receiver
        self._folder, self._stack = folder, stack

    async def start(self, one: Dev) -> None:
        """It listens to this service, and to whichever comes after at its address."""
        self.receiver.secrets.append(new_secret())
        options = ["--forward", self.receiver.url, "--secret", self.receiver.secrets[0], "--types", "detection.*"]
        process = self._stack.enter_context(listening(one.url, self._folder, *options, key=one.key))
        await until(lambda: "Listening" in process.log, seconds=60)

    @property
    def heard(self) -> list[tuple[bool, str]]:
        """Of each webhook whether it is verified, and its detection."""
        came = self.receiver.receiver.received
        return [(webhook.verified, json.loads(webhook.body)["data"]["id"]) for webhook in came]


@asynccontextmanager
async def listener(folder: Path) -> AsyncIterator[Listener]:
    async with inbox() as receiver:
        with ExitStack() as stack:
            yield Listener(folder, receiver, stack)
        assert receiver.receiver.duplicates == 0


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def secret_of(folder: Path) -> str:
    return (folder / "secret").read_text(encoding="ascii")


async def first_day(one: Dev, client: httpx.AsyncClient, tmp_path: Path) -> Kept:
    """Only its owner can read what is secret; a recording is asked about."""
    modes = [mode(one.folder / name) for name in ("", "secret", "api-key")]
    assert modes == [0o700, 0o600, 0o600]
    asking = Customer(client)
    media_id = await asking.upload(tmp_path, "x.ai.wav")
    result = await asking.ended(await asking.ask(media_id))
    return Kept(one.key, secret_of(one.folder), media_id, result)


async def second_day(one: Dev, client: httpx.AsyncClient, kept: Kept) -> str:
    """Data, audio and keys are there, and what had become readable is private again.

    Return the detection that was asked.
    """
    asking = Customer(client)
    assert await asking.result(kept.result["id"]) == kept.result
    assert (one.key, secret_of(one.folder)) == (kept.key, kept.secret)
    assert mode(one.folder / "secret") == 0o600
    again = await asking.ask(kept.media_id)
    await asking.ended(again)
    return again


def what_it_counted(one: Dev) -> None:
    """What its worker counted is a short line in the end."""
    (line,) = [line for line in one.process.log.splitlines() if "worker.stopped" in line]
    assert f"'relay_runs_dispatched_total': {len(VENDORS)}" in line  # all detectors' together
    assert "detector=" not in line
    assert not re.search(r"': 0[,}]", line)


async def what_the_doctor_says_after(one: Dev) -> None:
    """Nobody is there, which is all that is wrong."""
    status, printed = await relay_copied(one, *one.doctor, "--json")
    failed = [row["name"] for row in json.loads(printed) if row["level"] == "fail"]
    assert (status, failed) == (1, ["round trip"])


def revoke_keys(folder: Path) -> None:
    database = Database(f"sqlite:///{folder / 'relay.db'}")
    with database.writing() as session:
        (row,) = api_keys.list_keys(session)
        api_keys.revoke(session, row.id, system_clock())
    database.close()


async def test_three_days_in_one_folder(tmp_path: Path) -> None:
    folder, port = tmp_path / "dev", free_port()
    async with listener(tmp_path) as listening_on:
        async with dev(folder, port) as one, customer(one.url, one.key) as client:
            await listening_on.start(one)
            kept = await first_day(one, client, tmp_path)
            await until(lambda: listening_on.heard, seconds=60)
        what_it_counted(one)
        await what_the_doctor_says_after(one)
        (folder / "secret").chmod(0o644)
        async with dev(folder, port) as one, customer(one.url, one.key) as client:
            again = await second_day(one, client, kept)
            await until(lambda: len(listening_on.heard) == 2, seconds=60)
    assert listening_on.heard == [(True, kept.result["id"]), (True, again)]
    revoke_keys(folder)
    async with dev(folder) as one, customer(one.url, one.key) as client:
        assert one.key != kept.key
        assert (await client.get("/v1/webhook-endpoints")).status_code == 200
