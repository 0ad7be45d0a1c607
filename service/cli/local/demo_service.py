"""What the demo runs against: web, worker and twins on one loopback port, the customer's receiver on another."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from service.accounts import api_keys
from service.accounts.register import account_named
from service.app import create
from service.cli.http.serving import free_socket, serving, url_of
from service.kit.db.database import Database
from service.kit.schema.migrate import upgrade
from service.kit.system_clock import system_clock
from service.sandbox.receiver import Receiver
from service.settings import Settings, load_settings
from service.vendors import VENDORS
from service.worker import working

_CLIENT_SECONDS = 40
# Nobody wants to sit through the waits that spare a real vendor. A vendor takes its own of these, and no other's.
_QUICK: dict[str, Any] = {
    "first_poll_seconds": 6,
    "poll_seconds": 3,
    "timeout_seconds": 20,
    "resubmit_after_seconds": 10,
    "retry_floor_seconds": 3,
    "deadline_seconds": 60,
}


@dataclass(frozen=True, slots=True)
class Customer:
    """A client of the API and a receiver of webhooks. `secrets` holds the endpoint's, once it is known."""

    client: httpx.AsyncClient
    receiver: Receiver
    receiver_url: str
    secrets: list[str]


@contextlib.asynccontextmanager
async def running_service(folder: Path) -> AsyncIterator[Customer]:
    """Everything runs while inside; the database and the media are in `folder`."""
    web, inbox = free_socket(), free_socket()
    settings = _settings(folder, url_of(web), web.getsockname()[1])
    await asyncio.to_thread(upgrade, settings.database_url)
    key = await asyncio.to_thread(_api_key, settings)
    known: list[str] = []
    receiver = Receiver(lambda: known[0] if known else None)
    bearer = {"Authorization": f"Bearer {key}"}
    async with (
        serving(receiver.app, inbox),
        serving(create(settings, beside=working), web),
        httpx.AsyncClient(base_url=url_of(web), headers=bearer, timeout=_CLIENT_SECONDS) as client,
    ):
        yield Customer(client, receiver, f"{url_of(inbox)}/webhooks", known)


def _settings(folder: Path, url: str, port: int) -> Settings:
    return load_settings(
        secrets_needed=False,
        database_url=f"sqlite:///{folder / 'relay.db'}",
        media_store=f"file:{folder / 'media'}",
        host="127.0.0.1",
        port=port,
        sandbox_url=url,
        public_url=url,
        secret_keys=(secrets.token_hex(32),),
        outbound_allow="127.0.0.0/8,::1/128",
        outbound_https_only=False,
        vendors={name: vendor.settings(**_QUICK) for name, vendor in VENDORS.items()},
    )


def _api_key(settings: Settings) -> str:
    database, now = Database(settings.database_url, patience=settings.patience), system_clock()
    with database.writing() as session:
        key = api_keys.create(session, account_named(session, "demo", now).id, "test", now)
    database.close()
    return key.text
