"""Resident memory of `relay web --with-worker` a while after its start, with nothing to do."""

import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from service.bench.driving.cpu import resident_mib
from service.bench.driving.generator import BenchError
from service.bench.driving.processes import Version, deployed, fresh_database
from service.bench.driving.vendor import Secrets
from service.bench.reach import Reach
from service.bench.report import heading, machine, screen, table_with

_NOBODY = "http://127.0.0.1:9"  # no vendor is asked here


@dataclass(frozen=True, slots=True)
class Size:
    """The size of a measurement: seconds after its start at which a process is read, and rounds."""

    after_seconds: float
    rounds: int


FULL = Size(after_seconds=12, rounds=2)
QUICK = Size(after_seconds=4, rounds=1)


@dataclass(frozen=True, slots=True)
class Round:
    """What one version held, in MiB."""

    version: str
    mib: float


async def measure_round(version: Version, server: str | None, size: Size) -> Round:
    """Start one version on a fresh database, wait, and look. Raise `BenchError` where memory cannot be seen."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="relay-bench-")))
        database_url = stack.enter_context(fresh_database(server, folder))
        shared = Secrets("a key", "a secret", "")
        one = await stack.enter_async_context(deployed(version, database_url, folder, _NOBODY, shared, together=True))
        until = asyncio.get_running_loop().time() + size.after_seconds
        await one.ready()
        await asyncio.sleep(until - asyncio.get_running_loop().time())
        one.must_run()
        (process,) = one.running.values()
        mib = resident_mib(process.pid)
        if mib is None:
            raise BenchError("the memory of a process can be seen on Linux alone")
        return Round(version.name, mib)


def memory_report(rounds: Sequence[Round], size: Size, database: str) -> dict[str, Any]:
    """Return the medians by version, in MiB."""
    versions = list(dict.fromkeys(each.version for each in rounds))
    return {
        "machine": machine(),
        "database": database,
        "after_seconds": size.after_seconds,
        "rounds": size.rounds,
        "memory_mib": {version: median(each.mib for each in rounds if each.version == version) for version in versions},
    }


def memory_reached(report: Mapping[str, Any]) -> list[Reach]:
    """Return what is to be reached of an idle process, and what was."""
    return [Reach("resident, web with worker", 120, next(iter(report["memory_mib"].values())), " MiB")]


def show_memory(report: Mapping[str, Any]) -> None:
    """Print the report as a table."""
    console = screen()
    console.print(
        f"{heading(report)}: web with worker, {report['after_seconds']:.0f} s after its start, {report['rounds']} x.\n"
    )
    table = table_with("version", "resident MiB")
    for version, mib in report["memory_mib"].items():
        table.add_row(version, f"{mib:.1f}")
    console.print(table)
