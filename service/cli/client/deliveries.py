"""`relay deliveries …`: one event on its way to one endpoint, through the API."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from service.cli.client.requests import call_api, print_object, print_page
from service.cli.options import Cursor, JsonFlag, Limit, present

group = typer.Typer(no_args_is_help=True)

DeliveryId = Annotated[str, typer.Argument(metavar="ID", help="The delivery's id, dlv_….")]

_COLUMNS = (
    ("id", "id"),
    ("status", "status"),
    ("event", "event_type"),
    ("endpoint", "endpoint_id"),
    ("detection", "detection_id"),
    ("next attempt", "next_attempt_at"),
)
_ATTEMPTS = (
    ("attempt", "n"),
    ("started", "started_at"),
    ("status", "status_code"),
    ("error", "error_class"),
    ("ms", "phases_ms.total"),
    ("explanation", "explanation"),
)


@group.command("list")
def index(
    endpoint: Annotated[str | None, typer.Option(help="Only to this endpoint.")] = None,
    status: Annotated[str | None, typer.Option(help="Only in this state, for example exhausted.")] = None,
    event: Annotated[str | None, typer.Option(help="Only of this event.")] = None,
    limit: Limit = None,
    cursor: Cursor = None,
    as_json: JsonFlag = False,
) -> None:
    """List deliveries, newest first."""
    params = present(endpoint=endpoint, status=status, event=event, limit=limit, cursor=cursor)
    print_page(call_api("GET", "deliveries", params=params), _COLUMNS, as_json=as_json)


@group.command("get")
def get(delivery_id: DeliveryId, as_json: JsonFlag = False) -> None:
    """Show one delivery and its attempts."""
    _show(call_api("GET", "deliveries", delivery_id), as_json=as_json)


@group.command("resend")
def resend(delivery_id: DeliveryId, as_json: JsonFlag = False) -> None:
    """Try once more, now."""
    _show(call_api("POST", "deliveries", delivery_id, "resend"), as_json=as_json)


def _show(delivery: Mapping[str, Any], *, as_json: bool) -> None:
    """Print the delivery, and below it a line for each of its attempts."""
    if as_json:
        print_object(delivery, as_json=True)
        return
    print_object({name: value for name, value in delivery.items() if name != "attempts"}, as_json=False)
    if attempts := delivery.get("attempts"):
        print_page({"data": attempts}, _ATTEMPTS, as_json=False)
