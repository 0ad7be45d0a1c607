"""Secrets show themselves nowhere: a whole live journey with secrets that can be told, and everything it said searched.

The product runs in this process, so that its logs are at hand; vendors and the customer's receiver run outside of it.
"""

import asyncio
import json
import logging
import re
import traceback
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from sqlalchemy import text
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.testing import capture_logs

from service.accounts.api_keys import account_named
from service.accounts.api_keys import create as create_key
from service.app import create
from service.callbacks.addresses import address_token
from service.cli.http.serving import free_socket, serving, url_of
from service.kit.db.database import Database
from service.kit.security.sealing import Sealer
from service.kit.system_clock import system_clock
from service.sandbox.app import SandboxSettings
from service.sandbox.app import create as create_twins
from service.sandbox.receiver import Receiver
from service.settings import Settings, load_settings
from service.vendors.aippim import AippimSettings
from service.vendors.asc import AscSettings
from service.worker import working
from tests.journeys.customer import Customer, customer
from tests.waiting import until

VENDOR_KEY = "canary-vendor-key-4711"
WEBHOOK_SECRET = "canary-vendor-webhook-secret-4712"
SECRET_KEY = "canary-secret-key-4713-of-enough-characters"
HEADER_VALUE = "canary-endpoint-header-4714"
METRICS_TOKEN = "canary-metrics-token-4715"
_PATIENCE_SECONDS = 100

pytestmark = pytest.mark.timeout(300)


@dataclass
class Overheard:
    """An application, and what it was asked and answered."""

    app: ASGIApp
    asked: list[str] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes on. Of a POST that makes an endpoint only the head is kept: its answer shows a secret by contract."""
        if scope["type"] == "http":
            self.asked.append(scope["path"])

        async def overhear(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.answered.append(repr(message["headers"]))
            if message["type"] == "http.response.body" and not _shows_a_secret(scope):
                self.answered.append(message.get("body", b"").decode(errors="replace"))
            await send(message)

        await self.app(scope, receive, overhear if scope["type"] == "http" else send)

    def parts(self, kind: str) -> set[str]:
        """The tokens of addresses that begin with `kind`."""
        found = [path.split("/") for path in self.asked if path.startswith(f"/{kind}/")]
        return {path[3 if kind == "callbacks" else 2] for path in found}


def _shows_a_secret(scope: Scope) -> bool:
    return bool(scope["method"] == "POST" and scope["path"] == "/v1/webhook-endpoints")


@dataclass
class Vendors:
    """Both twins. One that is `rude` refuses everything, and tells whoever asks what it was asked with."""

    app: ASGIApp
    rude: bool = False
    told: str = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self.rude or scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        self.told += body.decode(errors="replace")
        told = {"error": f"{scope['headers']} {scope['query_string']!r} {body[:5000]!r}", "message": VENDOR_KEY}
        head = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 401, "headers": head})
        await send({"type": "http.response.body", "body": json.dumps(told).encode()})


@dataclass
class Scene:
    """All that takes part."""

    product: Overheard
    vendors: Vendors
    customer: Customer
    receiver: Receiver
    inbox: str
    settings: Settings
    keys: list[str]
    secrets: list[str]
    account_token: str


def settings_of(folder: Path, url: str, vendor_url: str) -> Settings:
    quick: dict[str, Any] = {
        "api_key": VENDOR_KEY,
        "first_poll_seconds": 1,
        "poll_seconds": 0.5,
        "deadline_seconds": 300,  # never reached: a slow machine is no other end
    }
    return load_settings(
        database_url=f"sqlite:///{folder / 'relay.db'}",
        media_store=f"file:{folder / 'media'}",
        public_url=url,
        sandbox_url=url,
        secret_keys=(SECRET_KEY,),
        metrics_token=METRICS_TOKEN,
        outbound_allow=[ip_network("127.0.0.0/8")],
        outbound_https_only=False,
        vendors={
            "aippim": AippimSettings(base_url=f"{vendor_url}/aippim", webhook_secrets=(WEBHOOK_SECRET,), **quick),
            "asc": AscSettings(base_url=f"{vendor_url}/asc/v1", job_url=f"{vendor_url}/asc/api-v1", **quick),
        },
    )


def prepared(settings: Settings) -> tuple[list[str], str]:
    """Two keys of one account, and the secret part of AIPPIM's address."""
    database, now = Database(settings.database_url), system_clock()
    try:
        with database.writing() as session:
            account_id = account_named(session, "Acme", now).id
            keys = [create_key(session, account_id, "live", now).text]
            keys.append(create_key(session, account_id, "live", now, scopes=["endpoints:read"]).text)
            return keys, address_token(session, "live", "aippim", Sealer([SECRET_KEY]), now)
    finally:
        database.close()


@asynccontextmanager
async def staged(folder: Path) -> AsyncIterator[Scene]:
    web, outside, inbox = free_socket(), free_socket(), free_socket()
    settings = settings_of(folder, url_of(web), url_of(outside))
    keys, token = await asyncio.to_thread(prepared, settings)
    twins = create_twins(
        SandboxSettings(
            secret="a made-up secret for records",
            api_key=VENDOR_KEY,
            webhook_secret=lambda _: WEBHOOK_SECRET,
            callback_url=lambda vendor: f"{url_of(web)}/callbacks/{vendor}/{token}",
            latency_seconds=0.2,
            retry_seconds=0.2,
        )
    )
    secrets: list[str] = []
    receiver = Receiver(lambda: secrets[0] if secrets else None)
    vendors, product = Vendors(twins.app), Overheard(create(settings, beside=working))
    async with AsyncExitStack() as stack:
        stack.push_async_callback(twins.aclose)
        await stack.enter_async_context(serving(vendors, outside))
        await stack.enter_async_context(serving(receiver.app, inbox))
        await stack.enter_async_context(serving(product, web))
        client = await stack.enter_async_context(customer(url_of(web), keys[0]))
        yield Scene(product, vendors, Customer(client), receiver, url_of(inbox), settings, keys, secrets, token)


async def ask_twice(scene: Scene, folder: Path) -> None:
    """Once answered by both vendors, and told the customer; once refused by vendors that repeat what they were told."""
    one = scene.customer
    asked = {"url": scene.inbox, "events": ["*"], "headers": {"X-Key": HEADER_VALUE}}
    for _ in range(2):  # the second gets the stored answer
        endpoint = await one.post("/v1/webhook-endpoints", json=asked, headers={"Idempotency-Key": "one"})
    scene.secrets.append(endpoint["secret"])
    result = await one.ended(await one.ask(await one.upload(folder)), _PATIENCE_SECONDS)
    assert result["status"] == "completed", result
    await until(lambda: scene.receiver.received)
    scene.vendors.rude = True
    asked_again = await one.ask(await one.upload(folder, "other.wav", seconds=2), answer_within_seconds=300)
    refused = await one.ended(asked_again, _PATIENCE_SECONDS)
    assert refused["status"] == "failed", refused
    assert {each["reason_code"] for each in refused["detectors"]} == {"auth_failed"}, refused


async def offend(scene: Scene) -> None:
    """What can be done wrong with a secret in hand."""
    client = scene.customer.client
    for path in ("/v1/webhook-endpoints", "/v1/detections", "/v1/events", "/v1/detections?limit=0"):
        await client.get(path)
    strangers = [scene.keys[0][:-1] + "!", scene.keys[0] + "x", "nonsense", scene.keys[1]]
    for key in strangers:
        answer = await client.post("/v1/detections", json={}, headers={"Authorization": f"Bearer {key}"})
        assert answer.status_code in {401, 403}
    for token in (METRICS_TOKEN, f"{METRICS_TOKEN}!"):
        await client.get("/metrics", headers={"Authorization": f"Bearer {token}"})
    await client.post("/v1/webhook-endpoints", content=b'{"url": ')
    await client.post("/v1/webhook-endpoints", json={"url": scene.inbox}, headers={"Idempotency-Key": "one"})
    for token in (scene.account_token, *scene.product.parts("callbacks")):
        for body in (b"{", b'{"task_id": "1", "taskId": "2"}', b'{"job_id": "x"}'):
            for vendor in ("aippim", "asc", "nobody"):
                await client.post(f"/callbacks/{vendor}/{token}", content=body)
    for token in scene.product.parts("media"):
        await client.get(f"/media/{token}/song.wav", headers={"Range": "bytes=999999999-"})
        await client.get(f"/media/{token[:-1]}/song.wav")


async def break_down(scene: Scene) -> None:
    """Failures of our own, with secrets in what was to be written."""
    database = Database(scene.settings.database_url)
    with database.writing() as session:
        for table in ("callback", "endpoint_secret", "idempotency", "api_key"):
            session.connection().execute(text(f"ALTER TABLE {table} RENAME TO gone_{table}"))
    database.close()
    client = scene.customer.client
    headers = {"x-mippia-signature": WEBHOOK_SECRET}
    late = await client.post(f"/callbacks/aippim/{scene.account_token}", json={"task_id": "1"}, headers=headers)
    failed = await client.get("/v1/webhook-endpoints")
    assert (late.status_code, failed.status_code) == (503, 500)


def printed(lines: list[Any]) -> str:
    """Log entries as they would be written, tracebacks too."""
    shown = []
    for line in lines:
        error = line.get("exc_info")
        trouble = traceback.format_exception(error) if isinstance(error, BaseException) else []
        shown.append(f"{line} {''.join(trouble)}")
    return "\n".join(shown)


async def test_no_secret_is_written_to_a_log_or_shown(
    sqlite_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    assert sqlite_url.endswith(str(tmp_path / "relay.db"))
    with capture_logs() as lines, caplog.at_level(logging.WARNING):
        async with staged(tmp_path) as scene:
            await ask_twice(scene, tmp_path)
            await offend(scene)
            await break_down(scene)
    callback_tokens = scene.product.parts("callbacks") | set(
        re.findall(r"/callbacks/asc/([\w.-]+)", scene.vendors.told)
    )
    media_tokens = scene.product.parts("media") | set(re.findall(r"/media/([\w.-]+)", scene.vendors.told))
    assert scene.account_token in callback_tokens
    assert len(callback_tokens) >= 3, "ASC has an address for each detection"
    assert len(media_tokens) >= 2, "and a link for each"
    assert {"callback.taken", "run.dispatched", "delivery.attempted", "callback.not_stored"} <= {
        line["event"] for line in lines
    }
    canaries = {
        "a vendor's key": {VENDOR_KEY},
        "a vendor's webhook secret": {WEBHOOK_SECRET},
        "a secret key": {SECRET_KEY},
        "an endpoint's header": {HEADER_VALUE},
        "the metrics' token": {METRICS_TOKEN},
        "an API key": set(scene.keys),
        "an endpoint's secret": {scene.secrets[0], scene.secrets[0].removeprefix("whsec_")},
        "a callback's token": callback_tokens,
        "a media link's token": media_tokens,
    }
    said = {
        "the logs": printed(lines),
        "the libraries' logs": caplog.text,
        "the screen": "".join(capfd.readouterr()),
        "the settings": repr(scene.settings),
        "answers": "\n".join(scene.product.answered),
        "webhooks": "\n".join(received.body.decode() for received in scene.receiver.received),
    }
    found = [
        (place, what)
        for place, words in said.items()
        for what, secrets in canaries.items()
        if any(secret in words for secret in secrets)
    ]
    assert found == []


def test_the_search_finds_what_an_error_tells() -> None:
    with capture_logs() as lines:
        structlog.get_logger().error("x", exc_info=httpx.ConnectError(VENDOR_KEY))
    assert VENDOR_KEY in printed(lines)
