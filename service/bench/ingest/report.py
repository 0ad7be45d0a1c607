"""What was measured of the intake of callbacks, as one object and as a table."""

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

from service.bench.ingest.measure import AT_ONCE, BODY_BYTES, Round, Size, Taken
from service.bench.report import heading, machine, quantile_ms, screen, table_with


def ingest_report(rounds: Sequence[Round], size: Size, database: str) -> dict[str, Any]:
    """Return the medians of both, and the medians of the ratios that each round had."""
    ratios = [each.product.rate / each.bare.rate for each in rounds]
    costs = [each.product.cpu_us / each.bare.cpu_us for each in rounds if each.product.cpu_us and each.bare.cpu_us]
    return {
        "machine": machine(),
        "database": database,
        "callbacks": size.callbacks,
        "at_once": AT_ONCE,
        "body_bytes": BODY_BYTES,
        "rounds": size.rounds,
        "product": _summary([each.product for each in rounds]),
        "bare": _summary([each.bare for each in rounds]),
        "rate_ratio": median(ratios),
        "cpu_ratio": median(costs) if costs else None,
    }


def show_ingest(report: Mapping[str, Any]) -> None:
    """Print the report as a table."""
    console = screen()
    console.print(
        f"{heading(report)}: {report['rounds']} x"
        f" {report['callbacks']} callbacks of {report['body_bytes']} bytes, {report['at_once']} at once.\n"
    )
    table = table_with("", "per second", "p50 ms", "p99 ms", "CPU us each")
    for name, title in (("product", "stored, then answered"), ("bare", "bare route, nothing stored")):
        each = report[name]
        table.add_row(title, *(_cell(each[key]) for key in ("per_second", "p50_ms", "p99_ms", "cpu_us")))
    table.add_row("ratio", f"{report['rate_ratio']:.3f}", "", "", _cell(report["cpu_ratio"]))
    console.print(table)


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
