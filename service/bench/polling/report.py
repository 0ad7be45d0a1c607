"""What a vendor was asked, as one object and as a table."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from service.bench.polling.measure import MEDIAN_SECONDS, SIGMA, Asked, Size, plans
from service.bench.reach import Reach
from service.bench.report import heading, machine, screen, table_with


def polling_report(asked: Sequence[Asked], size: Size, database: str) -> dict[str, Any]:
    """Return, for each plan with callbacks and without, the vendor's requests for a detection, and how late it was."""
    return {
        "machine": machine(),
        "database": database,
        "detections": size.detections,
        "quicker": size.quicker,
        "vendor_median_seconds": MEDIAN_SECONDS,
        "vendor_sigma": SIGMA,
        "first_poll_seconds": dict(plans()),
        "polling": [_summary(each) for each in asked],
    }


def polling_reached(report: Mapping[str, Any]) -> list[Reach]:
    """Return what is to be reached of polls, and what was: after measuring with callbacks, before it without."""
    measured = {(each["plan"], each["callbacks"]): each for each in report["polling"]}
    with_callbacks, without = measured["measured", "work"], measured["as it comes", "lost"]
    return [
        Reach("polls each, callbacks work", 0.1, with_callbacks["polls"]),
        Reach("polls each, every callback lost", 3, without["polls"]),
        Reach("late at the median, every callback lost", 5, without["late_p50_seconds"], " s"),
    ]


def show_polling(report: Mapping[str, Any]) -> None:
    """Print the report as a table."""
    console = screen()
    console.print(
        f"{heading(report)}: {report['detections']} detections of each kind; the vendor takes"
        f" {report['vendor_median_seconds']:.0f} s at the median (log-normal, sigma {report['vendor_sigma']}),"
        f" all {report['quicker']:g} times as quick.\n"
    )
    table = table_with("first poll", "s", "callbacks", "submit steps", "confirmations", "polls", "late p50 s")
    for each in report["polling"]:
        table.add_row(
            each["plan"],
            f"{report['first_poll_seconds'][each['plan']]:.0f}",
            each["callbacks"],
            *(f"{each[name]:.2f}" for name in ("submit_steps", "confirmations", "polls")),
            f"{each['late_p50_seconds']:.1f}",
        )
    console.print(table)


def _summary(asked: Asked) -> dict[str, Any]:
    return {
        "plan": asked.plan,
        "callbacks": "lost" if asked.lost else "work",
        "submit_steps": asked.submit_steps / asked.detections,
        "confirmations": asked.confirmations / asked.detections,
        "polls": asked.polls / asked.detections,
        "late_p50_seconds": median(asked.late_seconds),
    }
