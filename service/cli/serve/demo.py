"""`relay demo`: the main job from end to end, over real sockets, in one process and a temporary folder.

Web, worker and twins share one loopback port, the customer's receiver has another. The screen shows what each number
means and where it is from, and the webhook as it came.
"""

import asyncio
import contextlib
import json
import secrets
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.panel import Panel
from rich.table import Table

from service.accounts import api_keys
from service.accounts.api_keys import account_named
from service.app import create
from service.cli.http.serving import free_socket, serving, url_of
from service.cli.options import words_in
from service.cli.screen.results import ResultScreen, meanings, plain_markup, short_score
from service.kit.db.database import Database
from service.kit.schema.migrate import upgrade
from service.kit.system_clock import system_clock
from service.kit.telemetry.logs import set_up_logs
from service.sandbox.receiver import Received, Receiver
from service.sandbox.track import write_track
from service.settings import Settings, load_settings
from service.vendors import VENDORS
from service.worker import working

_FINAL = frozenset({"detection.completed", "detection.failed"})
_TRACK = "demo-tune.ai.wav"
_PATIENCE_SECONDS = 110.0
_WARNING = 30
_CLIENT_SECONDS = 40
# A demo is too short for the waits that spare a real vendor. A vendor takes its own of these, and no other's.
_QUICK: dict[str, Any] = {
    "first_poll_seconds": 6,
    "poll_seconds": 3,
    "timeout_seconds": 20,
    "resubmit_after_seconds": 10,
    "retry_floor_seconds": 3,
    "deadline_seconds": 60,
}
_SHOWN = ("webhook-id", "webhook-timestamp", "webhook-signature")
_COLUMNS = (("detector", 15), ("verdict", 14), ("vendor score", 12), ("engine", 8), ("via", 8), ("s", 3))
_COLOURS = {"succeeded": "green", "not_applicable": "blue", "skipped": "dim"}


class DemoRefusedError(Exception):
    """The service refused what the demo asked; the text is its answer's."""


def command(
    tracks: Annotated[
        list[Path] | None, typer.Argument(help="Audio files; by default a short one that comes with relay.")
    ] = None,
    detectors: Annotated[str | None, typer.Option(help="Detectors to use, separated by commas.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the temporary folder.")] = False,
) -> int:
    """Run the demo. Return 0 only if every webhook arrived and an independent library verified it."""
    missing = [str(track) for track in tracks or [] if not track.is_file()]
    if missing:
        sys.stderr.write(f"No such file: {', '.join(missing)}\n")
        return 2
    set_up_logs("console", level=_WARNING)
    folder = Path(tempfile.mkdtemp(prefix="relay-demo-"))
    try:
        return asyncio.run(_demo(folder, list(tracks or []), words_in(detectors)))
    except KeyboardInterrupt:
        return 130
    finally:
        if keep:
            sys.stdout.write(f"Kept: {folder}\n")
        else:
            shutil.rmtree(folder, ignore_errors=True)


async def _demo(folder: Path, tracks: list[Path], detectors: Sequence[str] | None) -> int:
    if not tracks:
        tracks = [folder / _TRACK]
        await asyncio.to_thread(write_track, tracks[0])
    screen = Screen()
    async with running_service(folder) as customer:
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                results, webhooks = await _main_job(customer, tracks, detectors, screen)
        except TimeoutError:
            screen.say(f"Not done after {_PATIENCE_SECONDS:.0f} seconds.")
            return 1
        except DemoRefusedError as refused:
            screen.say(str(refused))
            return 1
        came = list(customer.receiver.received)
    screen.show(results, webhooks)
    return 0 if all(webhook.verified for webhook in came) else 1


@dataclass(frozen=True, slots=True)
class DemoCustomer:
    """A client of the API and a receiver of webhooks. `secrets` holds the endpoint's, once it is known."""

    client: httpx.AsyncClient
    receiver: Receiver
    receiver_url: str
    secrets: list[str]


@contextlib.asynccontextmanager
async def running_service(folder: Path) -> AsyncIterator[DemoCustomer]:
    """Run everything for as long as the context lasts; the database and the media are in `folder`."""
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
        yield DemoCustomer(client, receiver, f"{url_of(inbox)}/webhooks", known)


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


class Screen(ResultScreen):
    """The lines of every detector while they work; at the end a table of their answers, and the webhooks."""

    def show(self, results: Sequence[Mapping[str, Any]], webhooks: Sequence[Received]) -> None:
        """Print each track's answers, its verdict, and its webhook with the independent library's judgement."""
        for result, webhook in zip(results, webhooks, strict=True):
            self.console.print(_answers(result))
            for line in meanings(result):
                self.console.print(plain_markup(line), style="dim")
            self.show_verdict(result)
            self.console.print(_received(webhook))


def _answers(result: Mapping[str, Any]) -> Table:
    """Return a table with a row for each detector. It fits 80 columns."""
    title = plain_markup((result["track"]["filename"] or "")[:70])
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim", title=title, title_justify="left")
    for name, width in _COLUMNS:
        table.add_column(name, min_width=width, no_wrap=name != "vendor score")
    for one in result["detectors"]:
        table.add_row(*_row(one))
    return table


def _row(one: Mapping[str, Any]) -> list[str]:
    colour, wall = _COLOURS.get(one["status"], "red"), one["timing"]["wall_ms"]
    return [
        plain_markup(one["detector"]),
        f"[{colour}]{plain_markup(one['verdict'] or one['reason_code'] or one['status'])}[/]",
        _score(one),
        _engine(one["engine"]),
        plain_markup(one["obtained"]["via"]),
        "" if wall is None else f"{wall / 1000:.1f}",
    ]


def _score(one: Mapping[str, Any]) -> str:
    """Return the vendor's score with its own scale and meaning; scores of two vendors cannot be compared."""
    if one["score"] is None:
        return "[dim]it gives none[/]" if one["verdict"] else ""
    return plain_markup(short_score(one))


def _engine(engine: Mapping[str, Any] | None) -> str:
    named = [engine[part] for part in ("name", "version") if engine[part]] if engine else []
    return plain_markup(" ".join(named))


def _received(webhook: Received) -> Panel:
    event = json.loads(webhook.body)
    state = "[green]verified by standardwebhooks[/]" if webhook.verified else "[red]NOT verified[/]"
    headers = [f"[dim]{name}: {plain_markup(webhook.headers.get(name))}[/]" for name in _SHOWN]
    about = f"{event['type']}  verdict {event['data']['verdict']}  {len(webhook.body)} bytes"
    return Panel("\n".join([*headers, about, state]), title="webhook", title_align="left", expand=False)


async def _main_job(
    customer: DemoCustomer, tracks: Sequence[Path], detectors: Sequence[str] | None, screen: Screen
) -> tuple[list[dict[str, Any]], list[Received]]:
    await _register(customer)
    asked = [await _submit(customer, track, detectors) for track in tracks]
    with screen.live():
        results = await asyncio.gather(*(_follow(customer, detection_id, screen) for detection_id in asked))
    webhooks = [await _webhook(customer, detection_id) for detection_id in asked]
    return list(results), webhooks


async def _register(customer: DemoCustomer) -> None:
    body = {"url": customer.receiver_url, "events": ["detection.*"], "description": "the demo's receiver"}
    endpoint = _checked(await customer.client.post("/v1/webhook-endpoints", json=body))
    customer.secrets.append(endpoint["secret"])


async def _submit(customer: DemoCustomer, track: Path, detectors: Sequence[str] | None) -> str:
    """Upload the file, create a detection, and return its id."""
    with track.open("rb") as file:
        media = _checked(await customer.client.post("/v1/media", files={"file": (track.name, file)}))
    body: dict[str, Any] = {"source": {"media_id": media["id"]}, "external_id": track.name[:255]}
    if detectors:
        body["detectors"] = list(detectors)
    detection_id: str = _checked(await customer.client.post("/v1/detections", json=body))["id"]
    return detection_id


async def _follow(customer: DemoCustomer, detection_id: str, screen: Screen) -> dict[str, Any]:
    """Poll until the final result, show each step on the screen, and return the result."""
    while True:
        result = _checked(await customer.client.get(f"/v1/detections/{detection_id}", params={"detail": "summary"}))
        screen.update(result)
        if result["completed_at"] is not None:
            return result
        await asyncio.sleep(0.25)


async def _webhook(customer: DemoCustomer, detection_id: str) -> Received:
    """Wait for the final webhook of this detection, and return it as the customer received it."""

    def is_it(received: Received) -> bool:
        event = json.loads(received.body)
        return event["type"] in _FINAL and event["data"]["id"] == detection_id

    return await customer.receiver.wait_for(is_it, timeout_seconds=_PATIENCE_SECONDS)


def _checked(response: httpx.Response) -> dict[str, Any]:
    body: dict[str, Any] = response.json()
    if response.is_success:
        return body
    faults = "".join(f"\n  {fault['pointer']}: {fault['detail']}" for fault in body.get("errors", []))
    raise DemoRefusedError(f"{response.status_code} {body.get('detail')}{faults}")
