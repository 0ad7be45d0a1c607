"""The whole product in this process, with one object of each kind in one account, and a way to knock at any route."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from sqlmodel import Session, SQLModel, select
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import Message

from service.accounts.api_keys import account_named
from service.accounts.api_keys import create as create_key
from service.api.context import Context
from service.api.routes import ROUTES
from service.app import create
from service.detections.submit import submit
from service.detectors.enums import Authenticity, Via
from service.detectors.vendor import VendorSettings
from service.events.models import Event
from service.kit.db.database import Database
from service.runs.inputs import VendorAnswer
from service.runs.state.models import Run
from service.settings import load_settings
from service.vendors import VENDORS
from service.webhooks.endpoints.registry import NewEndpoint, create_endpoint
from service.webhooks.models import Delivery
from tests.api.doors import NOW, bearer
from tests.detections.rows import add_media, question
from tests.detections.scripted import asc, said
from tests.runs.acting import observe

DEADLINE_SECONDS = 20
_PARAMETER = re.compile(r"\{(\w+)(:\w+)?\}")


@dataclass(frozen=True)
class Door:
    """One route by one method. `shape` is what stands in tables: `GET /v1/things/{}`."""

    method: str
    path: str

    @property
    def shape(self) -> str:
        return f"{self.method} {_PARAMETER.sub('{}', self.path)}"

    @property
    def nouns(self) -> list[str]:
        """What its ids are ids of: the word before each."""
        return re.findall(r"/([^/{}]+)/\{", self.path)

    @property
    def streams(self) -> bool:
        return self.path.endswith("/stream")

    def at(self, samples: Mapping[str, str]) -> str:
        """Its address with these ids."""
        given = iter(self.nouns)
        return _PARAMETER.sub(lambda _: samples[next(given)], self.path)


def doors_of(prefix: str = "/v1/") -> Iterator[Door]:
    """Every door below `prefix`, HEAD left to GET."""
    for route in ROUTES:
        assert isinstance(route, Route)
        if route.path.startswith(prefix):
            yield from (Door(method, route.path) for method in sorted((route.methods or set()) - {"HEAD"}))


@dataclass
class House:
    """The product, one account's objects in live mode by their noun, and the keys of three callers."""

    app: Starlette
    database: Database
    samples: dict[str, str]
    owner: dict[str, str]
    strangers: dict[str, dict[str, str]]

    async def knock(self, door: Door, key: Mapping[str, str], body: object = None) -> int:
        """The status of the answer. The answer itself may never end: it is not waited for."""
        status: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        content = json.dumps({} if body is None else body).encode() if door.method in ("POST", "PATCH") else b""
        came = False

        async def receive() -> Message:
            nonlocal came
            if came:
                await asyncio.Event().wait()
            came = True
            return {"type": "http.request", "body": content, "more_body": False}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start" and not status.done():
                status.set_result(message["status"])

        path = door.at(self.samples)
        headers = {"host": "relay.test", "content-type": "application/json", **key}
        scope = {
            "type": "http", "http_version": "1.1", "method": door.method, "scheme": "http", "path": path,
            "raw_path": path.encode(), "query_string": b"", "client": ("127.0.0.1", 1), "server": ("relay.test", 80),
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        }  # fmt: skip
        task = asyncio.create_task(self.app(scope, receive, send))
        either: set[asyncio.Future[Any]] = {task, status}
        try:
            await asyncio.wait(either, timeout=DEADLINE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if not status.done():
                await task
            return status.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def rows(self) -> dict[str, list[str]]:
        """Everything in the database, but for when a key was last used."""
        with self.database.reading() as session:
            return {
                table.name: sorted(
                    repr({name: value for name, value in row._mapping.items() if name != "last_used_at"})
                    for row in session.connection().execute(table.select())
                )
                for table in SQLModel.metadata.sorted_tables
            }

    def remember(self) -> Callable[[], None]:
        """Return a function that puts every row back as it is now."""
        tables = SQLModel.metadata.sorted_tables
        with self.database.reading() as session:
            kept = {
                table: [dict(row) for row in session.connection().execute(table.select()).mappings()]
                for table in tables
            }

        def restore() -> None:
            with self.database.writing() as session:
                for table in reversed(tables):
                    session.connection().execute(table.delete())
                for table in tables:
                    if kept[table]:
                        session.connection().execute(table.insert(), kept[table])

        return restore


def unused_keys() -> dict[str, VendorSettings]:
    """Every vendor is configured, with secrets that nobody takes."""
    return {
        name: vendor.settings.model_validate(dict.fromkeys(vendor.settings.proofs, "unused"))
        for name, vendor in VENDORS.items()
    }


@asynccontextmanager
async def house(database_url: str, folder: Path) -> AsyncIterator[House]:
    """The product without a worker: what is there stays as it is. No vendor is asked."""
    settings = load_settings(
        secrets_needed=False,
        database_url=database_url,
        secret_keys=("a made-up secret key of enough characters",),
        public_url="https://relay.example.com",
        media_store=f"file:{folder / 'media'}",
        vendors=unused_keys(),
    )
    app = create(settings, clock=lambda: NOW)
    async with app.router.lifespan_context(app):
        context: Context = app.state.context
        database = context.database
        with database.writing() as session:
            account_id = account_named(session, "Acme", NOW).id
            samples = {noun: make(session, context, account_id) for noun, make in BUILDERS.items()}
            other = account_named(session, "Other", NOW).id
        strangers = {
            "another account": _key(database, other),
            "the other mode": bearer(database, mode="test"),
        }
        yield House(app, database, samples, bearer(database), strangers)


def client_of(app: Starlette) -> httpx.AsyncClient:
    """For what has an end."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://relay.test", timeout=20)


def _key(database: Database, account_id: str) -> dict[str, str]:
    with database.writing() as session:
        return {"Authorization": f"Bearer {create_key(session, account_id, 'live', NOW).text}"}


def _media(session: Session, _context: Context, account_id: str) -> str:
    return add_media(session, account=account_id).id


def _endpoint(session: Session, context: Context, account_id: str) -> str:
    asked = NewEndpoint(account_id, "live", "https://customer.example/in", ("*",))
    return create_endpoint(session, asked, context.sealer, NOW)[0].id


def _detection(session: Session, context: Context, account_id: str) -> str:
    """One that has ended: it has a result, an event, and a delivery of it."""
    media_id = add_media(session, account=account_id).id
    made = submit(session, question(account_id=account_id, media_id=media_id, detectors=("asc",)), context.policy, NOW)
    run_id = session.exec(select(Run.id).where(Run.detection_id == made.id)).one()
    sighting = VendorAnswer(Via.POLL, said("ai"), asc().read(said("ai"), "asc"), Authenticity.TLS_FETCH)
    observe(session, run_id, sighting, context.policy, NOW)
    session.flush()
    return made.id


def _event(session: Session, _context: Context, account_id: str) -> str:
    return session.exec(select(Event.id).where(Event.account_id == account_id).limit(1)).one()


def _delivery(session: Session, _context: Context, _account_id: str) -> str:
    """One that was given up, so that it can be sent again."""
    delivery = session.exec(select(Delivery).limit(1)).one()
    delivery.state, delivery.due_at, delivery.ended_at = "exhausted", None, NOW
    session.flush()
    return delivery.id


BUILDERS: dict[str, Callable[[Session, Context, str], Any]] = {
    "media": _media,
    "webhook-endpoints": _endpoint,
    "detections": _detection,
    "events": _event,
    "deliveries": _delivery,
}
"""By the noun of the route, in the order they need one another. Each makes an object of this account, live."""
