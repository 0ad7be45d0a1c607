"""`relay demo`: the main job from end to end, over real sockets, in one process and a temporary folder."""

import asyncio
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from service.cli.local.demo_screen import Screen
from service.cli.local.demo_service import Customer, running_service
from service.cli.options import words_in
from service.kit.telemetry.logs import set_up_logs
from service.sandbox.receiver import Received
from service.sandbox.track import write_track

_FINAL = frozenset({"detection.completed", "detection.failed"})
_TRACK = "demo-tune.ai.wav"
_PATIENCE_SECONDS = 110.0
_WARNING = 30


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


async def _main_job(
    customer: Customer, tracks: Sequence[Path], detectors: Sequence[str] | None, screen: Screen
) -> tuple[list[dict[str, Any]], list[Received]]:
    await _register(customer)
    asked = [await _submit(customer, track, detectors) for track in tracks]
    with screen.live():
        results = await asyncio.gather(*(_follow(customer, detection_id, screen) for detection_id in asked))
    webhooks = [await _webhook(customer, detection_id) for detection_id in asked]
    return list(results), webhooks


async def _register(customer: Customer) -> None:
    body = {"url": customer.receiver_url, "events": ["detection.*"], "description": "the demo's receiver"}
    endpoint = _checked(await customer.client.post("/v1/webhook-endpoints", json=body))
    customer.secrets.append(endpoint["secret"])


async def _submit(customer: Customer, track: Path, detectors: Sequence[str] | None) -> str:
    """Upload the file, create a detection, and return its id."""
    with track.open("rb") as file:
        media = _checked(await customer.client.post("/v1/media", files={"file": (track.name, file)}))
    body: dict[str, Any] = {"source": {"media_id": media["id"]}, "external_id": track.name[:255]}
    if detectors:
        body["detectors"] = list(detectors)
    detection_id: str = _checked(await customer.client.post("/v1/detections", json=body))["id"]
    return detection_id


async def _follow(customer: Customer, detection_id: str, screen: Screen) -> dict[str, Any]:
    """Poll until the final result, show each step on the screen, and return the result."""
    while True:
        result = _checked(await customer.client.get(f"/v1/detections/{detection_id}", params={"detail": "summary"}))
        screen.update(result)
        if result["completed_at"] is not None:
            return result
        await asyncio.sleep(0.25)


async def _webhook(customer: Customer, detection_id: str) -> Received:
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
