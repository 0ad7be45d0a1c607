"""Webhooks to endpoints that work: with as many dead ones beside them, in turn with none. All are one account's."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any

from service.bench.driving.backlog import carry_backlog
from service.bench.driving.bare import running_bare
from service.bench.driving.outside import Serve
from service.bench.driving.processes import Version, free_port
from service.bench.flow import Pace, flowing
from service.bench.reach import AtLeast, Reach
from service.bench.report import heading, machine, quantile_ms, screen, table_with

LIVE = 20
"""Endpoints that work, under a backlog."""
LIVE_FRESH = 4
"""The same while fresh webhooks come: each of them costs the receiver of this measurement, which is on the machine."""


WAYS = ("all work", "half refuse", "half are silent")
"""Without dead endpoints; beside as many that refuse the connection; beside as many that take it and never answer."""


@dataclass(frozen=True, slots=True)
class Size:
    """The size of a measurement: events that each endpoint is behind by, the pace of fresh ones, and rounds.

    `patience` is how many seconds an endpoint has for its answer; `None` leaves that to the product.
    """

    events: int
    pace: Pace
    warm_up: int
    rounds: int
    patience: int | None = None

    @property
    def settings(self) -> Mapping[str, str]:
        """What is set otherwise than it comes."""
        return {} if self.patience is None else {"WEBHOOK_TIMEOUT_SECONDS": str(self.patience)}


FULL = Size(events=200, pace=Pace(40, 6), warm_up=50, rounds=2)
QUICK = Size(events=20, pace=Pace(20, 2), warm_up=10, rounds=1, patience=1)


@dataclass(frozen=True, slots=True)
class Seen:
    """What the endpoints that work saw: webhooks a second of a backlog, and the seconds that fresh ones took."""

    rate: float
    fresh: Sequence[float]


Round = Mapping[str, Seen]
"""By way, one right after the other."""


async def measure_neighbours(serve: Serve, server: str | None, size: Size) -> list[Round]:
    """Measure all ways in turn. Each is a fresh start on a database of its own."""
    async with running_bare() as (receiver, _), silent_server() as silent:
        dead = dict(zip(WAYS, ("", f"http://127.0.0.1:{free_port()}/", silent), strict=True))
        return [
            {way: await _seen(serve, server, size, receiver, place) for way, place in dead.items()}
            for _ in range(size.rounds)
        ]


async def _seen(serve: Serve, server: str | None, size: Size, receiver: str, dead: str) -> Seen:
    sent = await carry_backlog(server, _many(LIVE, receiver), size.events, _many(LIVE, dead), size.settings)
    return Seen(sent.rate, await _fresh(serve, server, size, receiver, dead))


async def _fresh(serve: Serve, server: str | None, size: Size, receiver: str, dead: str) -> Sequence[float]:
    async with flowing(serve, Version("this version"), server, size.settings) as flow:
        customer = flow.outside.customer
        for url in [*_many(LIVE_FRESH - 1, receiver), *_many(LIVE_FRESH, dead)]:
            await customer.add_endpoint(url)
        await flow.push(size.warm_up)
        return (await flow.keep(size.pace)).passages


def _many(count: int, place: str) -> list[str]:
    """Return `count` addresses that begin with `place`; no address if `place` is empty."""
    return [f"{place}{number}" for number in range(count)] if place else []


@asynccontextmanager
async def silent_server() -> AsyncIterator[str]:
    """Give the address of a server that takes whatever comes and never answers."""
    talks: set[asyncio.StreamWriter] = set()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.add(writer)
        try:
            while await reader.read(65_536):
                pass
        except ConnectionError:
            pass  # a client that has given up may break off its connection
        finally:
            talks.discard(writer)
            writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()
        for writer in list(talks):
            writer.close()


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
