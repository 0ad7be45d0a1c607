"""What all reports share: on what it was measured, quantiles, tables, JSON."""

import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

TO_MS = 1000
_PIPE_WIDTH = 160


def machine() -> dict[str, Any]:
    """Return what kind of machine this is, without its name."""
    return {
        "cpus": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def heading(report: Mapping[str, Any]) -> str:
    """Return on what it was measured."""
    what = report["machine"]
    return f"{report['database']}, {what['cpus']} CPUs, {what['system']}, Python {what['python']}"


def write_json(report: Mapping[str, Any], path: str) -> None:
    """Write the report; `-` is standard output."""
    text = json.dumps(report, indent=2) + "\n"
    if path == "-":
        sys.stdout.write(text)
    else:
        with open(path, "w", encoding="utf-8") as file:  # noqa: PTH123 - as the option gave it
            file.write(text)


def quantile_ms(values: Sequence[float], percent: int) -> float:
    """Return the nearest rank, in milliseconds: a value that really was."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)] * TO_MS


def screen() -> Console:
    """Return where reports are printed; in a pipe it is wide."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH)


def table_with(first: str, *others: str) -> Table:
    """Return an empty table with these columns; all but the first hold numbers."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column(first)
    for title in others:
        table.add_column(title, justify="right")
    return table
