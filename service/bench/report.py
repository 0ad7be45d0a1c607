"""What was measured, as one object and as tables."""

import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from service.bench.chain import LATENCY_SECONDS, Round, Size
from service.bench.statements import Stage

_TO_MS = 1000
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


def chain_report(rounds: Sequence[Round], stages: Sequence[Stage], size: Size, database: str) -> dict[str, Any]:
    """Return everything told of the chain: medians over the rounds of each version, and this version's stages."""
    versions = list(dict.fromkeys(each.version for each in rounds))
    return {
        "machine": machine(),
        "database": database,
        "detections": size.detections,
        "clients": size.clients,
        "rounds": size.rounds,
        "twin_latency_ms": LATENCY_SECONDS * _TO_MS,
        "chain": {version: _summary([each for each in rounds if each.version == version]) for version in versions},
        "stages": [_stage(each, size.staged) for each in stages],
    }


def show_chain(report: Mapping[str, Any]) -> None:
    """Print the report as tables."""
    console = screen()
    console.print(
        f"{heading(report)}: {report['rounds']} x"
        f" {report['detections']} detections from {report['clients']} clients at once; the twin takes"
        f" {report['twin_latency_ms']:.0f} ms of each. Only what was measured in one run can be compared.\n"
    )
    names = list(dict.fromkeys(name for each in report["chain"].values() for name in each["cpu_ms"]))
    table = table_with(
        "version", "per second", "p50 ms", "p99 ms", "upload p50", "ask p50", *(f"CPU ms: {n}" for n in names)
    )
    for version, each in report["chain"].items():
        used = [f"{each['cpu_ms'][name]:.1f}" if name in each["cpu_ms"] else "" for name in names]
        times = [f"{each[name]:.0f}" for name in ("p50_ms", "p99_ms", "upload_p50_ms", "ask_p50_ms")]
        table.add_row(version, f"{each['per_second']:.1f}", *times, *used)
    console.print(table)
    console.print("\nThis version, one detection after another, by stage:\n")
    table = table_with("stage", "statements", "commits", "database threads' CPU ms")
    for stage in report["stages"]:
        table.add_row(*_cells(stage))
    total = {name: sum(stage[name] for stage in report["stages"]) for name in ("statements", "commits", "cpu_ms")}
    table.add_row(*_cells({"stage": "total", **total}))
    console.print(table)


def write_json(report: Mapping[str, Any], path: str) -> None:
    """Write the report; `-` is standard output."""
    text = json.dumps(report, indent=2) + "\n"
    if path == "-":
        sys.stdout.write(text)
    else:
        with open(path, "w", encoding="utf-8") as file:  # noqa: PTH123 - as the option gave it
            file.write(text)


def _summary(rounds: Sequence[Round]) -> dict[str, Any]:
    names = list(dict.fromkeys(name for each in rounds for name in each.cpu_ms))
    return {
        "per_second": median(each.rate for each in rounds),
        "p50_ms": median(quantile_ms([one.whole for one in each.passages], 50) for each in rounds),
        "p99_ms": median(quantile_ms([one.whole for one in each.passages], 99) for each in rounds),
        "upload_p50_ms": median(quantile_ms([one.upload for one in each.passages], 50) for each in rounds),
        "ask_p50_ms": median(quantile_ms([one.ask for one in each.passages], 50) for each in rounds),
        "cpu_ms": {name: median(each.cpu_ms[name] for each in rounds if name in each.cpu_ms) for name in names},
    }


def _stage(stage: Stage, detections: int) -> dict[str, Any]:
    return {
        "stage": stage.name,
        "statements": stage.statements / detections,
        "commits": stage.commits / detections,
        "cpu_ms": stage.cpu_nanoseconds / 1e6 / detections,
    }


def _cells(stage: Mapping[str, Any]) -> tuple[str, ...]:
    return stage["stage"], f"{stage['statements']:.1f}", f"{stage['commits']:.1f}", f"{stage['cpu_ms']:.1f}"


def quantile_ms(values: Sequence[float], percent: int) -> float:
    """Return the nearest rank, in milliseconds: a value that really was."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)] * _TO_MS


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
