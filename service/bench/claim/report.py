"""What claims took, as one object and as a table."""

from collections.abc import Mapping
from statistics import median
from typing import Any

from service.bench.claim.measure import CLAIMED, Claims, Size
from service.bench.reach import Reach
from service.bench.report import heading, machine, quantile_ms, screen, table_with


def claim_report(claims: Mapping[str, Claims], size: Size, database: str) -> dict[str, Any]:
    """Return the medians by kind of row, and their ratio."""
    return {
        "machine": machine(),
        "database": database,
        "claimed": CLAIMED,
        "claims": size.claims,
        "few": size.few,
        "many": size.many,
        "claim": {
            kind: {
                "few_p50_ms": quantile_ms(each.few, 50),
                "many_p50_ms": quantile_ms(each.many, 50),
                "ratio": median(each.many) / median(each.few),
            }
            for kind, each in claims.items()
        },
    }


def claim_reached(report: Mapping[str, Any]) -> list[Reach]:
    """Return what is to be reached of claims, and what was."""
    return [
        Reach(f"{kind}, {report['many']:,} waiting x {report['few']:,}", 1.5, each["ratio"])
        for kind, each in report["claim"].items()
    ]


def show_claim(report: Mapping[str, Any]) -> None:
    """Print the report as a table."""
    console = screen()
    console.print(f"{heading(report)}: {report['claims']} claims of {report['claimed']} due rows, in turn.\n")
    table = table_with("", f"{report['few']:,} waiting, ms", f"{report['many']:,} waiting, ms", "ratio")
    for kind, each in report["claim"].items():
        table.add_row(kind, f"{each['few_p50_ms']:.1f}", f"{each['many_p50_ms']:.1f}", f"{each['ratio']:.2f}")
    console.print(table)
