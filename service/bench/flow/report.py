"""What was measured between callback and customer, as one object and as a table."""

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

from service.bench.flow.measure import Level, Round, Size
from service.bench.reach import AtLeast, Reach
from service.bench.report import heading, machine, quantile_ms, screen, table_with

_TIMES: Mapping[str, Callable[[Level], Sequence[float]]] = {
    "callback_to_webhook": lambda level: level.passages,
    "callback_acknowledged": lambda level: level.acknowledged,
    "post_detections": lambda level: level.asked,
    "get_detection": lambda level: level.read,
}

# What is to be reached: first completed a second, then milliseconds, by pace and time.
_BOUND = [
    ("100", "callback_to_webhook_p99_ms"),
    ("100", "callback_acknowledged_p99_ms"),
    ("100", "post_detections_p99_ms"),
    ("100", "get_detection_p99_ms"),
    ("10", "callback_to_webhook_p50_ms"),
    ("10", "callback_to_webhook_p99_ms"),
]
_SQLITE, _POSTGRES = (200, 60, 60, 60, 40, 12, 40), (150, 90, 60, 60, 40, 20, 60)


def flow_report(rounds: Sequence[Round], size: Size, database: str) -> dict[str, Any]:
    """Return the medians over the rounds of each version, by pace."""
    versions = list(dict.fromkeys(each.version for each in rounds))
    paces = {str(pace.per_second): pace.callbacks for pace in size.paces} | {"pushed": size.pushed}
    return {
        "machine": machine(),
        "database": database,
        "rounds": size.rounds,
        "callbacks": paces,
        "flow": {
            version: {
                pace: _summary([each.levels[n] for each in rounds if each.version == version])
                for n, pace in enumerate(paces)
            }
            for version in versions
        },
    }


def flow_reached(report: Mapping[str, Any]) -> list[Reach]:
    """Return what is to be reached between callback and customer, and what was."""
    (_, this), *others = report["flow"].items()
    completed, *most = _POSTGRES if report["database"] == "PostgreSQL" else _SQLITE
    rate = this["pushed"]["completed_per_second"]
    return [
        AtLeast("completed, pushed", completed, rate, " /s"),
        *(AtLeast(f"the same x {name}", 5, rate / each["pushed"]["completed_per_second"]) for name, each in others),
        *(
            Reach(f"{time.replace('_', ' ').removesuffix(' ms')}, {pace}/s", bound, this[pace][time], " ms")
            for (pace, time), bound in zip(_BOUND, most, strict=True)
        ),
    ]


def show_flow(report: Mapping[str, Any]) -> None:
    """Print the report as a table."""
    console = screen()
    console.print(f"{heading(report)}: {report['rounds']} x callbacks at a pace, and as many as go at once.\n")
    used = list(dict.fromkeys(name for each in report["flow"].values() for name in each["pushed"]["cpu_ms"]))
    table = table_with(
        "version",
        *("callbacks", "completed /s", "p50 ms", "p99 ms", "acknowledged p99", "POST p99", "GET p99"),
        *(f"CPU ms: {name}" for name in used),
    )
    for version, paces in report["flow"].items():
        for pace, each in paces.items():
            times = (
                each["callback_to_webhook_p50_ms"],
                *(each[f"{name}_p99_ms"] for name in _TIMES),
            )
            table.add_row(
                version,
                pace if pace == "pushed" else f"{pace}/s",
                f"{each['completed_per_second']:.1f}",
                *("" if ms is None else f"{ms:.0f}" for ms in times),
                *(f"{each['cpu_ms'][name]:.1f}" if name in each["cpu_ms"] else "" for name in used),
            )
    console.print(table)


def _summary(levels: Sequence[Level]) -> dict[str, Any]:
    times = {
        f"{name}_p{percent}_ms": median(quantile_ms(of(each), percent) for each in levels) if of(levels[0]) else None
        for name, of in _TIMES.items()
        for percent in (50, 99)
    }
    used = {name: median(each.cpu_ms[name] for each in levels) for name in levels[0].cpu_ms}
    return {"completed_per_second": median(each.completed_per_second for each in levels), **times, "cpu_ms": used}
