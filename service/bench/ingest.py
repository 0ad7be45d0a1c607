"""Callbacks taken in durably, beside the limit: the same requests at a bare route on the same server."""

import asyncio
import json
import secrets
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp

from service.bench.driving.bare import running_bare
from service.bench.driving.connections import connector
from service.bench.driving.cpu import cpu_ms
from service.bench.driving.generator import from_clients, post_callback, timed
from service.bench.driving.processes import Deployment, Version, deployed, fresh_database
from service.bench.driving.vendor import VENDOR, Secrets, signed
from service.bench.reach import AtLeast, Reach
from service.bench.report import heading, machine, quantile_ms, screen, table_with

AT_ONCE = 64
BODY_BYTES = 3_000
_NOBODY = "http://127.0.0.1:9"  # no vendor is asked here


@dataclass(frozen=True, slots=True)
class Size:
    """The size of a measurement: callbacks that a round sends to each, and rounds."""

    callbacks: int
    bare: int
    rounds: int


FULL = Size(callbacks=3_000, bare=12_000, rounds=3)
QUICK = Size(callbacks=400, bare=2_000, rounds=1)


@dataclass(frozen=True, slots=True)
class Taken:
    """One round at one server: requests a second, their times in seconds, and the server's CPU a request."""

    rate: float
    seconds: Sequence[float]
    cpu_us: float | None


@dataclass(frozen=True, slots=True)
class Round:
    """One version of the product and the bare route, one right after the other."""

    version: str
    product: Taken
    bare: Taken


async def measure_round(version: Version, server: str | None, size: Size) -> Round:
    """Send signed callbacks of unknown jobs to one version: each is verified, stored and committed before its answer.

    Then send as many to the bare route.
    """
    secret = secrets.token_hex(16)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="relay-bench-")))
        database_url = stack.enter_context(fresh_database(server, folder))
        shared = Secrets(secrets.token_hex(16), secret, "")  # without a key there the vendor is not heard either
        one = await stack.enter_async_context(deployed(version, database_url, folder, _NOBODY, shared))
        address, _ = await asyncio.gather(asyncio.to_thread(one.run, "callback-url", VENDOR), one.ready())
        bare_url, bare = await stack.enter_async_context(running_bare())
        product = await send_callbacks(address.strip(), secret, size.callbacks, lambda: _web_cpu_ms(one))
        limit = await send_callbacks(bare_url, secret, size.bare, lambda: cpu_ms(bare.pid))
        return Round(version.name, product, limit)


async def send_callbacks(url: str, secret: str, count: int, used_ms: Callable[[], float | None]) -> Taken:
    """Send so many callbacks, 64 at once; `used_ms` tells what CPU the server has used so far.

    Connections are new ones: what was kept from the last round the server may have closed meanwhile.
    """
    requests = [_callback(secret) for _ in range(count)]
    times: list[float] = []
    async with aiohttp.ClientSession(connector=connector(AT_ONCE)) as session:

        async def send(number: int) -> None:
            body, headers = requests[number]
            await post_callback(session, url, body, headers)

        before = used_ms()
        took, after = await from_clients(AT_ONCE, count, timed(times, send)), used_ms()
    cpu_us = None if before is None or after is None else (after - before) * 1000 / count
    return Taken(count / took, times, cpu_us)


def _callback(secret: str) -> tuple[bytes, Mapping[str, str]]:
    """Return a callback as the vendor signs it, of a job of its own."""
    job_id = f"task_{secrets.token_hex(12)}"
    body = json.dumps({"task_id": job_id, "status": "processing", "note": ""})
    padding = "x" * (BODY_BYTES - len(body))
    return body.replace('""', f'"{padding}"').encode(), signed(secret, job_id)


def _web_cpu_ms(one: Deployment) -> float | None:
    """Return what the process that takes callbacks used so far: the first one that was started."""
    return cpu_ms(next(iter(one.running.values())).pid)


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
