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


def ask(
    method: str, *path: str, params: Mapping[str, object] | None = None, body: Mapping[str, object] | None = None
) -> Any:
    """The API's answer to one request below `/v1`. A failure is said and ends the command with status 1."""
    from service.cli.client.http_client import Client, address, path_of  # noqa: PLC0415 - see the module's docstring

    with failures_said(), Client(address()) as client:
        return client.call(method, path_of(*path), params=params, body=body)


@contextlib.contextmanager
def failures_said() -> Iterator[None]:
    """A request that fails inside is told on standard error, and ends the command with status 1."""
    from service.cli.client.http_client import ClientError  # noqa: PLC0415

    try:
        yield
    except ClientError as error:
        sys.stderr.write(f"{error}\n")
        raise typer.Exit(1) from error


def listing(page: Mapping[str, Any], columns: Columns, *, as_json: bool) -> None:
    """A page is printed; where there is more, standard error says how to get it."""
    if as_json:
        print_json(page)
        return
    from service.cli.screen.tables import print_rows  # noqa: PLC0415

    print_rows(page["data"], columns)
    if page.get("next_cursor") and page.get("has_more", True):
        sys.stderr.write(f"There is more: --cursor {page['next_cursor']}\n")


def card(body: Mapping[str, Any], *, as_json: bool) -> None:
    """One object is printed, a line a member, whatever members it has."""
    if as_json:
        print_json(body)
        return
    from service.cli.screen.tables import print_members  # noqa: PLC0415

    print_members(body)


def done(sentence: str, body: Mapping[str, Any] | None, *, as_json: bool, **known: object) -> None:
    """What was done is said; as JSON it is the answer, or what is known where the answer had no body."""
    if as_json:
        print_json(known if body is None else body)
    else:
        sys.stdout.write(f"{sentence}\n")


def print_json(body: object) -> None:
    """One line of JSON, safe on any terminal: all that is not ASCII is escaped."""
    sys.stdout.write(json.dumps(body) + "\n")
