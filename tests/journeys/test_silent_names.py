"""One account names hosts that no name server knows of; another account's detections and webhooks go on as ever."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import pytest
from sqlmodel import Session

from service.accounts.api_keys import account_named, create
from service.kit.system_clock import system_clock
from tests.journeys.customer import Customer, customer
from tests.journeys.outside import Inbox, inbox
from tests.journeys.processes import Deployment, deployment
from tests.waiting import until

_CROWD = 24
_NOISE_SECONDS = 1.0
# Read by Python as it starts: in this deployment the names below `silent.example` are never answered.
_SILENCE = """
import socket, time

_system = socket.getaddrinfo

def _asked(host, *rest, **more):
    if str(host).rstrip(".").endswith(".silent.example"):
        time.sleep(60)
    return _system(host, *rest, **more)

socket.getaddrinfo = _asked
"""


@pytest.fixture
def one(database_url: str, tmp_path: Path) -> Iterator[Deployment]:
    folder = tmp_path / "start"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(_SILENCE)
    with deployment(database_url, tmp_path, PYTHONPATH=str(folder)) as made:
        made.start()
        yield made


def _key_of(name: str, session: Session) -> str:
    now = system_clock()
    return create(session, account_named(session, name, now).id, "test", now).text


async def _took(asker: Customer, box: Inbox, folder: Path, name: str) -> float:
    """How many seconds passed from the question to the webhook that tells its end."""
    media_id, had = await asker.upload(folder, name), len(box.receiver.received)
    begun = time.monotonic()
    await asker.ask(media_id, detectors=["asc"], force=True)
    await until(lambda: len(box.receiver.received) > had, seconds=30)
    return time.monotonic() - begun


async def test_silent_names_of_one_account_cost_another_nothing(one: Deployment, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        box = await stack.enter_async_context(inbox())
        await one.ready()
        keys = [await asyncio.to_thread(one._make, partial(_key_of, name)) for name in ("quiet", "crowd")]
        quiet, crowd = [Customer(await stack.enter_async_context(customer(one.url, key))) for key in keys]
        box.secrets.append(await quiet.register(box.url, "detection.completed"))
        usual = max([await _took(quiet, box, tmp_path, f"{n}.ai.wav") for n in range(2)])

        for n in range(_CROWD):
            await crowd.register(f"http://n{n}.silent.example:8000/in", "*")
        for n in range(_CROWD):
            source = {"url": f"http://s{n}.silent.example:8000/song.ai.wav"}
            await crowd.post("/v1/detections", json={"source": source, "detectors": ["asc"]})
        told = await crowd.ask(await crowd.upload(tmp_path, "crowd.ai.wav"), detectors=["asc"])
        await crowd.ended(told)

        for n in range(2, 5):
            assert await _took(quiet, box, tmp_path, f"{n}.ai.wav") < 2 * usual + _NOISE_SECONDS
