"""Tables for the terminal. In a pipe nothing is cut or wrapped, so that other programs can read the lines."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from service.cli.screen.plain_text import printable

_PIPE_WIDTH = 4096


def show(table: Table) -> None:
    """Print the table; in a pipe at its full width and without trailing spaces."""
    if sys.stdout.isatty():
        Console(highlight=False).print(table)
        return
    with (wide := Console(highlight=False, width=_PIPE_WIDTH)).capture() as lines:
        wide.print(table)
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in lines.get().split("\n")[:-1]))


def print_rows(rows: Iterable[Mapping[str, Any]], columns: Sequence[tuple[str, str]]) -> None:
    """Print a line for each row, below the columns' titles."""
    table = _table()
    for title, _ in columns:
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(_member(row, path))) for _, path in columns))
    show(table)


def print_members(body: Mapping[str, Any]) -> None:
    """Print a line for each member: its name and value. Nested members have names with dots."""
    table = _table(header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _flat(body):
        table.add_row(Text(name), Text(_cell(value)))
    show(table)


def _table(*, header: bool = True) -> Table:
    return Table(box=None, pad_edge=False, header_style="dim", show_header=header)


def _member(row: Mapping[str, Any], path: str) -> Any:
    value: Any = row
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _flat(body: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for name, value in body.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield printable(f"{prefix}{name}"), value


def _cell(value: Any) -> str:
    match value:
        case None | {} | []:
            return ""
        case bool():
            return "yes" if value else "no"
        case list() if all(isinstance(item, str) for item in value):
            return printable(", ".join(value))
        case list() | dict():
            return printable(json.dumps(value))
    return printable(value)
