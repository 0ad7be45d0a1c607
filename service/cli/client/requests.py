"""What a thin command does: one request, its answer shown as a table or as JSON, its failure said.

Quick to import: the HTTP client and the tables come when a command runs.
"""

import contextlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import typer

Columns = Sequence[tuple[str, str]]
"""A column's title, and the member it shows: `track.filename` is a member of a member."""


def call_api(
    method: str, *path: str, params: Mapping[str, object] | None = None, body: Mapping[str, object] | None = None
) -> Any:
    """Send one request below `/v1` and return the answer. Print a failure and exit with 1."""
    from service.cli.client.http_client import Client, address, path_of  # noqa: PLC0415 - see the module's docstring

    with exit_on_failure(), Client(address()) as client:
        return client.call(method, path_of(*path), params=params, body=body)


@contextlib.contextmanager
def exit_on_failure() -> Iterator[None]:
    """Print a request's failure on standard error, and exit with 1."""
    from service.cli.client.http_client import ClientError  # noqa: PLC0415

    try:
        yield
    except ClientError as error:
        sys.stderr.write(f"{error}\n")
        raise typer.Exit(1) from error


def print_page(page: Mapping[str, Any], columns: Columns, *, as_json: bool) -> None:
    """Print a page; if there are more, print on standard error how to get the next one."""
    if as_json:
        print_json(page)
        return
    from service.cli.screen.tables import print_rows  # noqa: PLC0415

    print_rows(page["data"], columns)
    if page.get("next_cursor") and page.get("has_more", True):
        sys.stderr.write(f"There is more: --cursor {page['next_cursor']}\n")


def print_object(body: Mapping[str, Any], *, as_json: bool) -> None:
    """Print an object, a line for each member."""
    if as_json:
        print_json(body)
        return
    from service.cli.screen.tables import print_members  # noqa: PLC0415

    print_members(body)


def print_done(sentence: str, body: Mapping[str, Any] | None, *, as_json: bool, **known: object) -> None:
    """Print the sentence; with `as_json`, the answer, or `known` where it had no body."""
    if as_json:
        print_json(known if body is None else body)
    else:
        sys.stdout.write(f"{sentence}\n")


def print_json(body: object) -> None:
    """Print one line of JSON, safe on any terminal: all that is not ASCII is escaped."""
    sys.stdout.write(json.dumps(body) + "\n")
