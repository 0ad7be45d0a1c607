"""One version of the product, running on a database of its own, with the vendor's twin and a customer beside it."""

import asyncio
import secrets
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import aiohttp
from starlette.types import ASGIApp

from service.bench.driving.connections import connector
from service.bench.driving.inbox import Inbox
from service.bench.driving.load import Customer
from service.bench.driving.processes import Deployment, Version, deployed, fresh_database
from service.bench.driving.vendor import VENDOR, Secrets
from service.sandbox.app import SandboxSettings, create

Serve = Callable[[Callable[[str], ASGIApp]], AbstractAsyncContextManager[str]]
"""Serves the application that is made for an address, and gives the address."""


class Twins(Protocol):
    """The vendors' twins, and what their owner has to close."""

    @property
    def app(self) -> ASGIApp:
        """What answers for them."""

    async def aclose(self) -> None:
        """Drop what is still owed."""


@dataclass(frozen=True, slots=True)
class Outside:
    """The processes that are measured, and those who ask, answer and are told. `folder` holds what is on disk."""

    deployment: Deployment
    customer: Customer
    secrets: Secrets
    callback_url: str
    folder: Path


@asynccontextmanager
async def running_outside(
    serve: Serve,
    version: Version,
    server: str | None,
    twin_latency_seconds: float,
    changed: Mapping[str, str] | None = None,
    make: Callable[[SandboxSettings], Twins] = create,
) -> AsyncIterator[Outside]:
    """Run the version, and end it; its customer has one endpoint, and the twin calls back after its latency.

    `changed` are settings that are other ones here; `make` makes the twins.
    """
    inbox, callback_url = Inbox(), [""]
    shared = Secrets(*(secrets.token_hex(16) for _ in range(3)))
    twins = make(
        SandboxSettings(
            secret=shared.twin,
            api_key=shared.api_key,
            webhook_secret=lambda _: shared.webhook_secret,
            callback_url=lambda _: callback_url[0],
            latency_seconds=twin_latency_seconds,
        )
    )
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="relay-bench-")))
        database_url = stack.enter_context(fresh_database(server, folder))
        inbox_url = await stack.enter_async_context(serve(lambda _: inbox.app))
        twins_url = await stack.enter_async_context(serve(lambda _: twins.app))
        stack.push_async_callback(twins.aclose)
        one = await stack.enter_async_context(
            deployed(version, database_url, folder, twins_url, shared, changed=changed)
        )
        address, key, _ = await asyncio.gather(
            asyncio.to_thread(one.run, "callback-url", VENDOR), asyncio.to_thread(one.key), one.ready()
        )
        callback_url[0] = address.strip()
        headers = {"Authorization": f"Bearer {key}"}
        session = await stack.enter_async_context(
            aiohttp.ClientSession(one.url, headers=headers, connector=connector())
        )
        customer = Customer(session, inbox)
        await customer.register(inbox_url)
        yield Outside(one, customer, shared, callback_url[0], folder)
