"""A customer who goes by the document alone: a real process, a key, a receiver, and objects to speak of, made once."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.accounts.api_keys import DEFAULT_SCOPES, account_named, create
from service.kit.db.database import Database
from service.kit.system_clock import system_clock
from service.sandbox.track import write_track
from tests.api.doors import served
from tests.api.promise import Promise
from tests.journeys.processes import deployment

_PATIENCE_SECONDS = 40


class Integrator:
    """Every answer it gets is held to the document before anything else is done with it."""

    def __init__(
        self, client: httpx.Client, database: Database, folder: Path, receiver: str, secret_keys: list[str]
    ) -> None:
        self.client = client
        self.receiver = receiver
        self.secret_keys = secret_keys
        self.database = database
        self._folder = folder
        self.promise = Promise(client.get("/openapi.json").json())
        self.key = self.new_key()
        self.done: list[tuple[str, int]] = []

    def new_key(self, *scopes: str) -> str:
        """Return a test key of the account; without `scopes`, with the usual ones."""
        now = system_clock()
        with self.database.writing() as session:
            account = account_named(session, "integrator", now)
            return create(session, account.id, "test", now, scopes=scopes or DEFAULT_SCOPES).text

    def call(
        self, operation_id: str, /, *, key: str | None = None, headers: dict[str, str] | None = None, **more: Any
    ) -> httpx.Response:
        """Return the answer of the operation. Ids in its path are given by their names; `key=""` sends none."""
        _, template, _ = self.promise.operations[operation_id]
        path = {name: more.pop(name) for name in list(more) if f"{{{name}}}" in template}
        method, address = self.promise.address(operation_id, path)
        known = self.key if key is None else key
        sent = ({"Authorization": f"Bearer {known}"} if known else {}) | (headers or {})
        response = self.client.request(method, address, headers=sent, **more)
        self.promise.check(operation_id, response)
        if response.is_success and "json" in more:
            self.promise.check_request(operation_id, more["json"])
        self.done.append((operation_id, response.status_code))
        return response

    def got(self, operation_id: str, /, **more: Any) -> Any:
        """Return the JSON of an answer that must be a success."""
        response = self.call(operation_id, **more)
        assert response.is_success, response.text
        return response.json()

    def upload(self, name: str) -> str:
        """Return the id of new media of this name; its words direct the sandbox."""
        path = self._folder / name
        write_track(path, 1)
        media_id: str = self.got("uploadMedia", files={"file": (name, path.read_bytes(), "audio/wav")})["id"]
        return media_id

    def ask(self, name: str = "song.ai.wav", **more: Any) -> str:
        """Return the id of a new detection."""
        body = {"source": {"media_id": self.upload(name)}, **more}
        detection_id: str = self.got("createDetection", json=body)["id"]
        return detection_id

    def ended(self, detection_id: str) -> dict[str, Any]:
        """Return the result, once it is final."""
        result: dict[str, Any] = self.until(
            lambda: self.got("readDetection", detection_id=detection_id, params={"wait": "20"}),
            lambda found: found["completed_at"] is not None,
        )
        return result

    def register(self, *events: str) -> str:
        """Return the id of a new endpoint that receives every event."""
        body = {"url": self.receiver, "events": list(events) or ["detection.*"]}
        endpoint_id: str = self.got("createEndpoint", json=body)["id"]
        return endpoint_id

    def until(self, ask: Callable[[], Any], is_so: Callable[[Any], bool]) -> Any:
        """Return the first answer that fulfils the condition."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not is_so(found := ask()):
            assert time.monotonic() < deadline, found
            time.sleep(0.05)  # the other process has no event to wait for
        return found

    @cached_property
    def detection_id(self) -> str:
        """A detection that has ended, and was told to an endpoint."""
        self.endpoint_id  # noqa: B018 - registered before, so that there is a delivery
        detection_id = self.ask()
        self.ended(detection_id)
        return detection_id

    @cached_property
    def endpoint_id(self) -> str:
        """An endpoint that takes all there is."""
        return self.register("*", "detector.*")

    @cached_property
    def delivery_id(self) -> str:
        """A delivery that succeeded."""
        self.detection_id  # noqa: B018 - made by its end
        found = self.until(
            lambda: self.got("listDeliveries", params={"status": "succeeded"})["data"],
            bool,
        )
        delivery_id: str = found[0]["id"]
        return delivery_id


@contextmanager
def integrator(database: Path, folder: Path, **settings: str) -> Iterator[Integrator]:
    """Start a process with a worker and the sandbox, on the migrated SQLite file, and yield a customer of it."""
    url = f"sqlite:///{database}"
    with deployment(url, folder) as place, served(Starlette(routes=[Route("/", _take, methods=["POST"])])) as receiver:
        place.process("web", "--with-worker", **settings).start()
        opened = Database(url)
        try:
            with httpx.Client(base_url=place.url, timeout=30) as client:
                _wait(client)
                yield Integrator(client, opened, folder, f"{receiver.base_url}/", [place.environment["SECRET_KEYS"]])
        finally:
            opened.close()


async def _take(request: Request) -> Response:
    await request.body()
    return Response(status_code=204)


def _wait(client: httpx.Client) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            if client.get("/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        assert time.monotonic() < deadline
        time.sleep(0.05)  # a process that starts has no event to wait for
