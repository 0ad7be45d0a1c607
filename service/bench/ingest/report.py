"""What was measured of the intake of callbacks, as one object and as a table."""

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

from service.bench.ingest.measure import AT_ONCE, BODY_BYTES, Round, Size, Taken
from service.bench.reach import AtLeast, Reach
from service.bench.report import heading, machine, quantile_ms, screen, table_with


def ingest_report(rounds: Sequence[Round], size: Size, database: str) -> dict[str, Any]:
    """Return, of each version, the medians of both, and the medians of the ratios that each round had."""
    versions = list(dict.fromkeys(each.version for each in rounds))
    return {
        "machine": machine(),
        "database": database,
        "callbacks": size.callbacks,
        "at_once": AT_ONCE,
        "body_bytes": BODY_BYTES,
        "rounds": size.rounds,
        "ingest": {version: _beside([each for each in rounds if each.version == version]) for version in versions},
    }


def ingest_reached(report: Mapping[str, Any]) -> list[Reach]:
    """Return what is to be reached of callbacks coming in, and what was."""
    this = next(iter(report["ingest"].values()))
    return [AtLeast("rate x bare route", 0.15 if report["database"] == "PostgreSQL" else 0.20, this["rate_ratio"])]


def show_ingest(report: Mapping[str, Any]) -> None:
    """Print the report as a table."""
    console = screen()
    console.print(
        f"{heading(report)}: {report['rounds']} x"
        f" {report['callbacks']} callbacks of {report['body_bytes']} bytes, {report['at_once']} at once.\n"
    )
    table = table_with("", "per second", "p50 ms", "p99 ms", "CPU us each")
    for version, both in report["ingest"].items():
        for name, title in (("product", f"{version}: stored, then answered"), ("bare", "bare route, nothing stored")):
            each = both[name]
            table.add_row(title, *(_cell(each[key]) for key in ("per_second", "p50_ms", "p99_ms", "cpu_us")))
        table.add_row("ratio", f"{both['rate_ratio']:.3f}", "", "", _cell(both["cpu_ratio"]))
    console.print(table)


def _beside(rounds: Sequence[Round]) -> dict[str, Any]:
    costs = [each.product.cpu_us / each.bare.cpu_us for each in rounds if each.product.cpu_us and each.bare.cpu_us]
    return {
        "product": _summary([each.product for each in rounds]),
        "bare": _summary([each.bare for each in rounds]),
        "rate_ratio": median(each.product.rate / each.bare.rate for each in rounds),
        "cpu_ratio": median(costs) if costs else None,
    }


def _summary(taken: Sequence[Taken]) -> dict[str, float | None]:
    def of(measure: Callable[[Taken], float]) -> float:
        return median(measure(each) for each in taken)

    used = [each.cpu_us for each in taken if each.cpu_us is not None]
    return {
        "per_second": of(lambda each: each.rate),
        "p50_ms": of(lambda each: quantile_ms(each.seconds, 50)),
        "p99_ms": of(lambda each: quantile_ms(each.seconds, 99)),
        "cpu_us": median(used) if used else None,
    }


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:,.1f}"
