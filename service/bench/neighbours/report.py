"""What the endpoints that work saw, as one object and as a table."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from service.bench.neighbours.measure import LIVE, LIVE_FRESH, WAYS, Round, Size
from service.bench.reach import AtLeast, Reach
from service.bench.report import heading, machine, quantile_ms, screen, table_with


def neighbours_report(rounds: Sequence[Round], size: Size, database: str) -> dict[str, Any]:
    """Return the medians of each way, and of the ratios to all working that each round had."""
    return {
        "machine": machine(),
        "database": database,
        "endpoints": LIVE,
        "deliveries": LIVE * size.events,
        "fresh_endpoints": LIVE_FRESH,
        "fresh_per_second": size.pace.per_second,
        "rounds": size.rounds,
        "neighbours": {way: _summary(rounds, way) for way in WAYS},
    }


def neighbours_reached(report: Mapping[str, Any]) -> list[Reach]:
    """Return what is to be reached beside dead endpoints, and what was."""
    beside = {way: report["neighbours"][way] for way in WAYS[1:]}
    return [
        *(AtLeast(f"live rate, {way} x none", 0.8, each["rate_ratio"]) for way, each in beside.items()),
        *(Reach(f"fresh p99, {way} x none", 1.5, each["fresh_p99_ratio"]) for way, each in beside.items()),
    ]


def show_neighbours(report: Mapping[str, Any]) -> None:
    """Print the report as a table."""
    console = screen()
    console.print(
        f"{heading(report)}: {report['rounds']} x a backlog of {report['deliveries']} webhooks at {report['endpoints']}"
        f" endpoints that work; then {report['fresh_per_second']} detections a second,"
        f" each a webhook to {report['fresh_endpoints']}.\n"
    )
    table = table_with("endpoints", "per second", "ratio", "fresh: p50 ms", "p99 ms", "ratio of p99")
    for way, each in report["neighbours"].items():
        table.add_row(
            way,
            f"{each['per_second']:,.0f}",
            f"{each['rate_ratio']:.2f}",
            f"{each['fresh_p50_ms']:.0f}",
            f"{each['fresh_p99_ms']:.0f}",
            f"{each['fresh_p99_ratio']:.2f}",
        )
    console.print(table)


def _summary(rounds: Sequence[Round], way: str) -> dict[str, float]:
    seen, alone = [each[way] for each in rounds], [each[WAYS[0]] for each in rounds]
    p99 = [(quantile_ms(one.fresh, 99), quantile_ms(other.fresh, 99)) for one, other in zip(seen, alone, strict=True)]
    return {
        "per_second": median(each.rate for each in seen),
        "rate_ratio": median(one.rate / other.rate for one, other in zip(seen, alone, strict=True)),
        "fresh_p50_ms": median(quantile_ms(each.fresh, 50) for each in seen),
        "fresh_p99_ms": median(one for one, _ in p99),
        "fresh_p99_ratio": median(one / other for one, other in p99),
    }
