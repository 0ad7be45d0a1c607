"""What was measured of the whole chain, as one object and as tables."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from service.bench.chain.measure import Round, Size
from service.bench.counting.inside import LATENCY_SECONDS
from service.bench.counting.statements import Stage
from service.bench.reach import AtLeast, Reach
from service.bench.report import TO_MS, heading, machine, quantile_ms, screen, table_with


def chain_report(rounds: Sequence[Round], stages: Sequence[Stage], size: Size, database: str) -> dict[str, Any]:
    """Return everything told of the chain: medians over the rounds of each version, and this version's stages."""
    versions = list(dict.fromkeys(each.version for each in rounds))
    return {
        "machine": machine(),
        "database": database,
        "detections": size.detections,
        "clients": size.clients,
        "rounds": size.rounds,
        "twin_latency_ms": LATENCY_SECONDS * TO_MS,
        "chain": {version: _summary([each for each in rounds if each.version == version]) for version in versions},
        "stages": [_stage(each, size.staged) for each in stages],
    }


def chain_reached(report: Mapping[str, Any]) -> list[Reach]:
    """Return what is to be reached of the chain, and what was."""
    (_, this), *others = report["chain"].items()
    on_postgres, used = report["database"] == "PostgreSQL", dict(this["cpu_ms"])
    used.pop("load, twin, receiver", None)
    database = used.pop("database", None)
    statements, commits = (sum(stage[name] for stage in report["stages"]) for name in ("statements", "commits"))
    reaches = [
        Reach("CPU each", 20 if on_postgres else 15, sum(used.values()) if used else None, " ms"),
        *([Reach("CPU each, in the database", 8, database, " ms")] if on_postgres else []),
        Reach("statements, alone", 70 if on_postgres else 60, statements),
        Reach("commits, alone", 9 if on_postgres else 8, commits),
    ]
    return [*reaches, *(AtLeast(f"rate x {name}", 4, this["per_second"] / each["per_second"]) for name, each in others)]


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
