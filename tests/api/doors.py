"""What the doors' tests share: a context on a test's own database, an app around it, and a real socket before it."""

import socket
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import MISSING, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from sqlmodel import Session
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route

from service.accounts.api_keys import DEFAULT_SCOPES, account_named, create
from service.api.addresses import without_redirects
from service.api.context import Context, OpenLink
from service.api.from_vendors.callbacks import ROUTE as CALLBACKS
from service.api.headers import RequestIds, secured
from service.api.middleware import PassingFaults, Straight
from service.api.problems import handlers_beside_postgres
from service.kit.concurrency.wake import Shutdown
from service.kit.db.database import Database
from service.kit.security.tokens import Tokens
from service.media.links import MediaGrant, MediaLinks
from service.media.store import DatabaseStore

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
TOKENS = Tokens(["secret " * 6])
DEADLINE_SECONDS = 20.0


def opens_nothing(session: Session, run_id: str, mode: str, now: datetime, counts: bool) -> MediaGrant | None:
    """No link opens."""


def context_on(database: Database, staging: Path, *, open_link: OpenLink = opens_nothing) -> Context:
    """Return a context whose clock stands still. What these operations do not use is `None`."""
    unused: dict[str, Any] = {
        each.name: None for each in fields(Context) if each.default is MISSING and each.default_factory is MISSING
    }
    used = {
        "database": database,
        "clock": lambda: NOW,
        "store": DatabaseStore(database),
        "shutdown": Shutdown(database.wake),
        "tokens": TOKENS,
        "media_links": MediaLinks(TOKENS, "http://127.0.0.1"),
        "open_link": open_link,
        "max_media_bytes": 2_000_000,
        "staging": staging,
    }
    return Context(**(unused | used))


def app_of(routes: Sequence[Route], context: Context | None = None) -> Starlette:
    """Return the routes behind the same middleware and handlers as the product's."""
    short = [Middleware(Straight, CALLBACKS)] if CALLBACKS in routes else []
    middleware = [Middleware(RequestIds), *short, Middleware(PassingFaults)]
    app = Starlette(routes=list(routes), middleware=middleware, exception_handlers=handlers_beside_postgres())
    app.state.context = context
    return secured(without_redirects(app), https=False)


@asynccontextmanager
async def client_of(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    """Open a client that calls `app` without a socket. Failures of ours come as answers, as they would outside."""
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://relay.test") as client:
        yield client


@contextmanager
def served(app: Starlette) -> Iterator[httpx.Client]:
    """Serve `app` on a real loopback socket, and open a client of it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        started = threading.Event()
        server = _Server(uvicorn.Config(app, lifespan="off", log_level="critical", proxy_headers=False), started)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            assert started.wait(DEADLINE_SECONDS)
            base = f"http://127.0.0.1:{listener.getsockname()[1]}"
            with httpx.Client(base_url=base, timeout=DEADLINE_SECONDS) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join(DEADLINE_SECONDS)


class _Server(uvicorn.Server):
    """A server that says when it listens."""

    def __init__(self, config: uvicorn.Config, listens: threading.Event) -> None:
        super().__init__(config)
        self._listens = listens

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._listens.set()


def bearer(database: Database, *, mode: str = "live", scopes: Sequence[str] = DEFAULT_SCOPES) -> dict[str, str]:
    """Return the headers of a caller with a new key of the account `Acme`."""
    with database.writing() as session:
        key = create(session, account_named(session, "Acme", NOW).id, mode, NOW, scopes=scopes)
    return {"Authorization": f"Bearer {key.text}"}
