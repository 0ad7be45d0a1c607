"""The whole chain, upload to webhook, with one detector that answers by callback: from outside, and by stage."""

import asyncio
import gc
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from service.bench.counting.inside import LATENCY_SECONDS, running_inside
from service.bench.counting.statements import Stage
from service.bench.driving.load import Passage
from service.bench.driving.outside import Serve, running_outside
from service.bench.driving.processes import Version, fresh_database
from service.bench.reach import AtLeast, Reach
from service.bench.report import TO_MS, heading, machine, quantile_ms, screen, table_with
from service.kit.schema.migrate import upgrade


@dataclass(frozen=True, slots=True)
class Size:
    """The size of a measurement: detections and clients from outside, rounds, and detections by stage."""

    detections: int
    clients: int
    rounds: int
    warm_up: int
    staged: int


FULL = Size(detections=600, clients=16, rounds=3, warm_up=32, staged=40)
QUICK = Size(detections=100, clients=16, rounds=1, warm_up=16, staged=10)


@dataclass(frozen=True, slots=True)
class Round:
    """One version, measured once. CPU is in milliseconds a detection, by process."""

    version: str
    passages: Sequence[Passage]
    seconds: float
    cpu_ms: dict[str, float]

    @property
    def rate(self) -> float:
        """Detections a second."""
        return len(self.passages) / self.seconds


async def measure_round(serve: Serve, version: Version, server: str | None, size: Size) -> Round:
    """Run one version on a fresh database under load, and end it."""
    async with running_outside(serve, version, server, LATENCY_SECONDS) as outside:
        one, customer = outside.deployment, outside.customer
        await customer.detect_many(size.warm_up, size.clients)
        before, own = one.cpu_ms(), _own_cpu_ms()
        passages, seconds = await customer.detect_many(size.detections, size.clients)
        after = one.cpu_ms() | {"load, twin, receiver": _own_cpu_ms() - own}
        used = {name: (spent - before.get(name, 0)) / size.detections for name, spent in after.items()}
    return Round(version.name, passages, seconds, used)


async def measure_stages(serve: Serve, server: str | None, size: Size) -> list[Stage]:
    """Count statements, commits and the database threads' CPU of this version by stage, one detection after another.

    The numbers are sums over `size.staged` detections.
    """
    with tempfile.TemporaryDirectory(prefix="relay-bench-") as place:
        folder = Path(place)
        with fresh_database(server, folder) as database_url:
            await asyncio.to_thread(upgrade, database_url)
            async with running_inside(serve, database_url, folder) as service:
                await service.customer.detect()
                await service.settled()
                with _little_garbage():
                    service.counts.clear()
                    await service.customer.detect_many(size.staged, 1)
                    await service.settled(size.staged)
                    return service.counts.by_stage()


@contextmanager
def _little_garbage() -> Iterator[None]:
    """Take what lives already out of the collector's sight: a full round costs as much as three detections."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _own_cpu_ms() -> float:
    return time.process_time() * 1000


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
        "p50_ms": _percentile(rounds, lambda one: one.whole, 50),
        "p99_ms": _percentile(rounds, lambda one: one.whole, 99),
        "upload_p50_ms": _percentile(rounds, lambda one: one.upload, 50),
        "ask_p50_ms": _percentile(rounds, lambda one: one.ask, 50),
        "cpu_ms": {name: median(each.cpu_ms[name] for each in rounds if name in each.cpu_ms) for name in names},
    }


def _percentile(rounds: Sequence[Round], duration: Callable[[Passage], float], percent: int) -> float:
    """Return the median over the rounds of this percentile of one duration of all passages, in milliseconds."""
    return median(quantile_ms([duration(one) for one in each.passages], percent) for each in rounds)


def _stage(stage: Stage, detections: int) -> dict[str, Any]:
    return {
        "stage": stage.name,
        "statements": stage.statements / detections,
        "commits": stage.commits / detections,
        "cpu_ms": stage.cpu_nanoseconds / 1e6 / detections,
    }


def _cells(stage: Mapping[str, Any]) -> tuple[str, ...]:
    return stage["stage"], f"{stage['statements']:.1f}", f"{stage['commits']:.1f}", f"{stage['cpu_ms']:.1f}"
