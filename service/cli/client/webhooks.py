"""`relay endpoints …` and `relay deliveries …`: a customer's webhook endpoints, and each event on its way to one."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from service.cli.client.requests import call_api, exit_on_failure, print_done, print_object, print_page
from service.cli.options import Cursor, JsonFlag, Limit, headers_in, present, words_in

endpoints_group = typer.Typer(no_args_is_help=True)

EndpointId = Annotated[str, typer.Argument(metavar="ID", help="The endpoint's id, we_….")]
Events = Annotated[list[str] | None, typer.Option(help="Types, or families such as detection.*; commas between.")]
Headers = Annotated[list[str] | None, typer.Option("--header", help="'Name: value' sent with each webhook; repeat it.")]
Description = Annotated[str | None, typer.Option(help="A note of yours.")]
RateLimit = Annotated[int | None, typer.Option(min=1, help="Webhooks a second, at most.")]

_PATH = "webhook-endpoints"
_ENDPOINT_COLUMNS = (
    ("id", "id"),
    ("status", "status"),
    ("health", "health"),
    ("events", "events"),
    ("url", "url"),
    ("description", "description"),
)
_CLEARED = {"description": "description", "headers": "headers", "rate-limit": "rate_limit_per_second"}
DeliveryId = Annotated[str, typer.Argument(metavar="ID", help="The delivery's id, dlv_….")]
_DELIVERY_COLUMNS = (
    ("id", "id"),
    ("status", "status"),
    ("event", "event_type"),
    ("endpoint", "endpoint_id"),
    ("detection", "detection_id"),
    ("next attempt", "next_attempt_at"),
)
_ATTEMPT_COLUMNS = (
    ("attempt", "n"),
    ("started", "started_at"),
    ("status", "status_code"),
    ("error", "error_class"),
    ("ms", "phases_ms.total"),
    ("explanation", "explanation"),
)


@endpoints_group.command("create")
def create_endpoint(
    url: Annotated[str, typer.Argument(metavar="URL", help="Where webhooks are to go.")],
    events: Events = None,
    description: Description = None,
    header: Headers = None,
    rate_limit: RateLimit = None,
    disabled: Annotated[bool, typer.Option("--disabled", help="Send nothing yet.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Register a URL, for detection.* unless --events says otherwise. The answer shows the signing secret."""
    body = _changes(url, words_in(events) or ["detection.*"], description, header, rate_limit)
    print_object(call_api("POST", _PATH, body=body | present(disabled=disabled or None)), as_json=as_json)


@endpoints_group.command("list")
def list_endpoints(limit: Limit = None, cursor: Cursor = None, as_json: JsonFlag = False) -> None:
    """List the endpoints, newest first, and how each did in the last 24 hours."""
    page = call_api("GET", _PATH, params=present(limit=limit, cursor=cursor))
    if not as_json:
        page = {**page, "data": _with_health(page["data"])}
    print_page(page, _ENDPOINT_COLUMNS, as_json=as_json)


@endpoints_group.command("get")
def get_endpoint(endpoint_id: EndpointId, as_json: JsonFlag = False) -> None:
    """Show one endpoint."""
    print_object(call_api("GET", _PATH, endpoint_id), as_json=as_json)


@endpoints_group.command("update")
def update_endpoint(
    endpoint_id: EndpointId,
    url: Annotated[str | None, typer.Option(help="Where webhooks are to go from now on.")] = None,
    events: Events = None,
    description: Description = None,
    header: Headers = None,
    rate_limit: RateLimit = None,
    clear: Annotated[list[str] | None, typer.Option(help="description, headers or rate-limit; repeat it.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Change what is named, and nothing else."""
    body: dict[str, object] = {_cleared(name): None for name in words_in(clear)}
    body |= _changes(url, events, description, header, rate_limit)
    if not body:
        raise typer.BadParameter("nothing to change: name at least one option")
    print_object(call_api("PATCH", _PATH, endpoint_id, body=body), as_json=as_json)


@endpoints_group.command("delete")
def delete_endpoint(endpoint_id: EndpointId, as_json: JsonFlag = False) -> None:
    """Delete an endpoint: what was not delivered to it never will be."""
    body = call_api("DELETE", _PATH, endpoint_id)
    print_done(f"{endpoint_id} is deleted.", body, as_json=as_json, id=endpoint_id, deleted=True)


@endpoints_group.command("enable")
def enable_endpoint(
    endpoint_id: EndpointId,
    release: Annotated[str, typer.Option(help="What was held: all, newest (one a detection) or none of it.")] = "all",
    as_json: JsonFlag = False,
) -> None:
    """Send again, and what was held meanwhile too."""
    print_object(_act(endpoint_id, "enable", {"release": release}), as_json=as_json)


@endpoints_group.command("disable")
def disable_endpoint(endpoint_id: EndpointId, as_json: JsonFlag = False) -> None:
    """Hold everything until it is enabled."""
    print_object(_act(endpoint_id, "disable"), as_json=as_json)


@endpoints_group.command("ping")
def ping_endpoint(endpoint_id: EndpointId, as_json: JsonFlag = False) -> None:
    """Send it a webhook_endpoint.ping."""
    print_object(_act(endpoint_id, "ping"), as_json=as_json)


@endpoints_group.command("rotate-secret")
def rotate_secret(
    endpoint_id: EndpointId,
    overlap_seconds: Annotated[int | None, typer.Option(min=0, help="How long the old secret signs too.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Make a new signing secret; for a while both sign."""
    print_object(_act(endpoint_id, "rotate-secret", present(overlap_seconds=overlap_seconds)), as_json=as_json)


@endpoints_group.command("secret")
def show_secret(endpoint_id: EndpointId, as_json: JsonFlag = False) -> None:
    """Show the signing secret. That it was shown is written down."""
    print_object(call_api("GET", _PATH, endpoint_id, "secret"), as_json=as_json)


@endpoints_group.command("recover")
def recover_endpoint(
    endpoint_id: EndpointId,
    since: Annotated[str, typer.Option(help="From when on, for example 2026-11-20T00:00:00Z.")],
    until: Annotated[str | None, typer.Option(help="Until when; until now else.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Send now what was made in that time and is exhausted or skipped, or failed and waits for its next try.

    What is held goes by `enable`. At most 5,000 at once: repeat it while `has_more` says yes.
    409 while the endpoint is disabled: enable it first.
    """
    print_object(_act(endpoint_id, "recover", present(since=since, until=until)), as_json=as_json)


@endpoints_group.command("stats")
def show_stats(endpoint_id: EndpointId, as_json: JsonFlag = False) -> None:
    """Show its success rate, latency and backlog."""
    print_object(call_api("GET", _PATH, endpoint_id, "stats"), as_json=as_json)


def _act(endpoint_id: str, action: str, body: dict[str, object] | None = None) -> Any:
    """Return the answer of the action, or what is known where it has no body."""
    answer = call_api("POST", _PATH, endpoint_id, action, body=body or {})
    return {"id": endpoint_id, "action": action} if answer is None else answer


def _changes(
    url: str | None,
    events: list[str] | None,
    description: str | None,
    header: list[str] | None,
    rate_limit: int | None,
) -> dict[str, object]:
    return present(
        url=url,
        events=words_in(events),
        description=description,
        headers=headers_in(header) or None,
        rate_limit_per_second=rate_limit,
    )


def _cleared(name: str) -> str:
    if name not in _CLEARED:
        raise typer.BadParameter(f"can clear {', '.join(_CLEARED)}", param_hint="--clear")
    return _CLEARED[name]


def _with_health(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the endpoints, each with a few words on its last 24 hours."""
    from service.cli.client.http_client import Client, RefusedError, address, path_of  # noqa: PLC0415 - `relay --help` is quick

    told = []
    with exit_on_failure(), Client(address()) as client:
        for row in rows:
            try:
                health = _health(client.call("GET", path_of(_PATH, row["id"], "stats")))
            except RefusedError:  # deleted since, or asked too often
                health = "unknown"
            told.append(row | {"health": health})
    return told


def _health(stats: dict[str, Any]) -> str:
    tried, failed, held = stats["attempts"]["total"], stats["attempts"]["failed"], stats["backlog"]["held"]
    if not tried:
        health = "nothing tried"
    elif not failed:
        health = f"ok, {tried} of {tried}"
    else:
        health = f"{'failing' if failed == tried else 'unsteady'}, {failed} of {tried} failed"
    since = f" since {stats['failing_since']}" if stats["failing_since"] else ""
    return f"{health}{since}{f'; {held} held' if held else ''}"


deliveries_group = typer.Typer(no_args_is_help=True)


@deliveries_group.command("list")
def list_deliveries(
    endpoint: Annotated[str | None, typer.Option(help="Only to this endpoint.")] = None,
    status: Annotated[str | None, typer.Option(help="Only in this state, for example exhausted.")] = None,
    event: Annotated[str | None, typer.Option(help="Only of this event.")] = None,
    limit: Limit = None,
    cursor: Cursor = None,
    as_json: JsonFlag = False,
) -> None:
    """List deliveries, newest first."""
    params = present(endpoint=endpoint, status=status, event=event, limit=limit, cursor=cursor)
    print_page(call_api("GET", "deliveries", params=params), _DELIVERY_COLUMNS, as_json=as_json)


@deliveries_group.command("get")
def get_delivery(delivery_id: DeliveryId, as_json: JsonFlag = False) -> None:
    """Show one delivery and its attempts."""
    _show_delivery(call_api("GET", "deliveries", delivery_id), as_json=as_json)


@deliveries_group.command("resend")
def resend_delivery(delivery_id: DeliveryId, as_json: JsonFlag = False) -> None:
    """Try once more, now."""
    _show_delivery(call_api("POST", "deliveries", delivery_id, "resend"), as_json=as_json)


def _show_delivery(delivery: Mapping[str, Any], *, as_json: bool) -> None:
    """Print the delivery, and below it a line for each of its attempts."""
    if as_json:
        print_object(delivery, as_json=True)
        return
    print_object({name: value for name, value in delivery.items() if name != "attempts"}, as_json=False)
    if attempts := delivery.get("attempts"):
        print_page({"data": attempts}, _ATTEMPT_COLUMNS, as_json=False)
