"""Webhooks out of a backlog, beside the limit: the bare client with the same bytes at the same receiver."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import aiohttp

from service.bench.driving.backlog import BODY_BYTES, Sent, carry_backlog
from service.bench.driving.bare import running_bare
from service.bench.driving.generator import from_clients
from service.bench.reach import AtLeast, Reach
from service.bench.report import heading, machine, screen, table_with

AT_ONCE = 200
ENDPOINTS = 40
_HEADERS_BYTES = 200  # what a signature and its companions take


@dataclass(frozen=True, slots=True)
class Size:
    """The size of a measurement: events for each of the endpoints, and rounds."""

    events: int
    rounds: int

    @property
    def deliveries(self) -> int:
        """Deliveries of a round."""
        return self.events * ENDPOINTS


FULL = Size(events=200, rounds=3)
QUICK = Size(events=30, rounds=1)


@dataclass(frozen=True, slots=True)
class Round:
    """The product and the bare client, one right after the other."""

    product: Sent
    bare: Sent


async def measure_deliver(server: str | None, size: Size) -> list[Round]:
    """Carry a backlog that is there when the worker starts; then post as many with nothing but the client."""
    async with running_bare() as (receiver, _):
        endpoints = [f"{receiver}{number}" for number in range(ENDPOINTS)]
        return [
            Round(await carry_backlog(server, endpoints, size.events), await post_bare(receiver, size.deliveries))
            for _ in range(size.rounds)
        ]


async def post_bare(receiver: str, count: int) -> Sent:
    """Post so many bodies with the bare client, 200 at once."""
    body = b"x" * BODY_BYTES
    headers = {"content-type": "application/json", "webhook-signature": "x" * _HEADERS_BYTES}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def post(number: int) -> None:
            async with session.post(f"{receiver}{number % ENDPOINTS}", data=body, headers=headers) as answer:
                await answer.read()

        used = time.process_time()
        took, spent = await from_clients(AT_ONCE, count, post), time.process_time() - used
    return Sent(count / took, {"client": spent * 1e6 / count})


def deliver_report(rounds: Sequence[Round], size: Size, database: str) -> dict[str, Any]:
    """Return the medians of both, and the medians of the ratios that each round had.

    The ratio of CPU leaves the database's own processes out, as the bare client has none.
    """
    costs = [_own(each.product) / each.bare.cpu_us["client"] for each in rounds if each.product.cpu_us]
    return {
        "machine": machine(),
        "database": database,
        "deliveries": size.deliveries,
        "endpoints": ENDPOINTS,
        "body_bytes": BODY_BYTES,
        "at_once": AT_ONCE,
        "rounds": size.rounds,
        "product": _summary([each.product for each in rounds]),
        "bare": _summary([each.bare for each in rounds]),
        "rate_ratio": median(each.product.rate / each.bare.rate for each in rounds),
        "cpu_ratio": median(costs) if costs else None,
    }


def deliver_reached(report: Mapping[str, Any]) -> list[Reach]:
    """Return what is to be reached of deliveries beside the bare client, and what was."""
    return [
        Reach("CPU x bare client", 2.3, report["cpu_ratio"]),
        AtLeast("rate x bare client", 0.35, report["rate_ratio"]),
    ]


def show_deliver(report: Mapping[str, Any]) -> None:
    """Print the report as a table."""
    console = screen()
    console.print(
        f"{heading(report)}: {report['rounds']} x"
        f" {report['deliveries']} webhooks of {report['body_bytes']} bytes to {report['endpoints']} endpoints.\n"
    )
    table = table_with("", "per second", "CPU us each")
    for name, title in (("product", "delivered"), ("bare", "bare client")):
        used = ", ".join(f"{process} {spent:,.0f}" for process, spent in report[name]["cpu_us"].items())
        table.add_row(title, f"{report[name]['per_second']:,.0f}", used)
    cost = report["cpu_ratio"]
    table.add_row("ratio", f"{report['rate_ratio']:.3f}", "" if cost is None else f"{cost:.1f}")
    console.print(table)


def _own(sent: Sent) -> float:
    return sum(spent for process, spent in sent.cpu_us.items() if process != "database")


def _summary(sent: Sequence[Sent]) -> dict[str, Any]:
    return {
        "per_second": median(each.rate for each in sent),
        "cpu_us": {process: median(each.cpu_us[process] for each in sent) for process in sent[0].cpu_us},
    }
