"""`relay detections …`: detections and their stories, through the API."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from service.cli.client.requests import call_api, print_done, print_json, print_object, print_page
from service.cli.options import Cursor, JsonFlag, Limit, present
from service.cli.screen.plain_text import shortened

_OPEN = ("queued", "running")

group = typer.Typer(no_args_is_help=True)

DetectionId = Annotated[str, typer.Argument(metavar="ID", help="The detection's id, det_….")]

_COLUMNS = (
    ("id", "id"),
    ("status", "status"),
    ("verdict", "verdict"),
    ("agreement", "agreement"),
    ("created", "created_at"),
    ("audio", "track.filename"),
)
_FACTS = (("at", "at"), ("what", "kind"), ("detector", "detector"), ("run", "run_id"), ("more", "more"))


@group.command("list")
def index(
    status: Annotated[str | None, typer.Option(help="Only in this state, for example running.")] = None,
    verdict: Annotated[str | None, typer.Option(help="Only with this verdict, for example ai_generated.")] = None,
    detector: Annotated[str | None, typer.Option(help="Only where this detector was asked.")] = None,
    external_id: Annotated[str | None, typer.Option(help="Only with this id of yours.")] = None,
    created_after: Annotated[str | None, typer.Option(help="For example 2026-11-20T00:00:00Z.")] = None,
    created_before: Annotated[str | None, typer.Option(help="The same.")] = None,
    stuck: Annotated[bool, typer.Option("--stuck", help="Only what takes longer than it was to take.")] = False,
    limit: Limit = None,
    cursor: Cursor = None,
    as_json: JsonFlag = False,
) -> None:
    """List detections, newest first."""
    params = present(
        status=status,
        verdict=verdict,
        detector=detector,
        external_id=external_id,
        created_after=created_after,
        created_before=created_before,
        stuck=True if stuck else None,
        limit=limit,
        cursor=cursor,
    )
    page = call_api("GET", "detections", params=params)
    print_page(page if as_json else {**page, "data": [_row(one) for one in page["data"]]}, _COLUMNS, as_json=as_json)


@group.command("get")
def get(
    detection_id: DetectionId,
    detail: Annotated[str, typer.Option(help="full or summary.")] = "full",
    wait: Annotated[int | None, typer.Option(min=0, max=25, help="Seconds to wait for the end.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Show the result as it stands."""
    show_result(call_api("GET", "detections", detection_id, params=present(detail=detail, wait=wait)), as_json=as_json)


@group.command("timeline")
def timeline(detection_id: DetectionId, as_json: JsonFlag = False) -> None:
    """Show every fact in order, and who was waited for."""
    story = call_api("GET", "detections", detection_id, "timeline")
    if as_json:
        print_json(story)
        return
    print_page({"data": [_fact(fact) for fact in story["data"]]}, _FACTS, as_json=False)
    print_object(story.get("waits", {}), as_json=False)


@group.command("cancel")
def cancel(detection_id: DetectionId, as_json: JsonFlag = False) -> None:
    """Stop a detection that has not ended."""
    print_done(f"{detection_id} is cancelled.", _act(detection_id, "cancel"), as_json=as_json, id=detection_id)


@group.command("recheck")
def recheck(detection_id: DetectionId, as_json: JsonFlag = False) -> None:
    """Ask every detector again: a new revision."""
    print_done(f"{detection_id} is asked again.", _act(detection_id, "recheck"), as_json=as_json, id=detection_id)


@group.command("delete")
def delete(detection_id: DetectionId, as_json: JsonFlag = False) -> None:
    """Erase raw answers and metadata; the id stays."""
    body = call_api("DELETE", "detections", detection_id)
    print_done(f"{detection_id} is erased.", body, as_json=as_json, id=detection_id, deleted=True)


def show_result(result: dict[str, Any], *, as_json: bool) -> None:
    """Print the result: a line for each detector, then the verdict."""
    if as_json:
        print_json(result)
        return
    from service.cli.screen.results import ResultScreen  # noqa: PLC0415 - rich, only where it is looked at

    ResultScreen(hosts=_hosts(result)).show_results([result])


def _hosts(result: dict[str, Any]) -> dict[str, str]:
    """Return the host of the audio's source, by detection id, if the audio could not be fetched."""
    if result["track"]["filename"] or result["completed_at"] is None:
        return {}
    from service.cli.client.http_client import Client, ClientError, address, path_of  # noqa: PLC0415 - `relay --help` is quick

    try:
        with Client(address()) as client:
            facts = client.call("GET", path_of("detections", result["id"], "timeline"))["data"]
    except ClientError:
        return {}
    host = next((fact.get("host") for fact in facts if fact["kind"] == "source.failed"), None)
    return {result["id"]: host} if host else {}


def _act(detection_id: str, action: str) -> Any:
    return call_api("POST", "detections", detection_id, action)


def _row(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the result for a table, without an agreement while it is open."""
    return {name: value for name, value in result.items() if name != "agreement" or result["status"] not in _OPEN}


def _fact(fact: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fact with its members that have no column, as `name=value` texts."""
    told = (f"{name}={_member_text(name, value)}" for name, value in fact.items() if _is_worth_saying(name, value))
    return {**fact, "more": " ".join(told)}


def _is_worth_saying(name: str, value: Any) -> bool:
    if name in ("at", "kind", "run_id", "detector"):
        return False  # they have columns of their own
    return value is not None and not (name == "possible_duplicate_charge" and value is False)


def _member_text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        return json.dumps(value)
    return shortened(value) if name.endswith(("_id", "_ref")) else value
