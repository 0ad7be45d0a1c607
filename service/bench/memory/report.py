"""What idle processes held in memory, as one object and as a table."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from service.bench.memory.measure import Round, Size
from service.bench.reach import Reach
from service.bench.report import heading, machine, screen, table_with


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
