"""A claim of 100 due rows where few wait, in turn with one where very many do."""

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from service.bench.claim.rows import WRITTEN, write_waiting
from service.bench.counting.inside import settings_inside
from service.bench.driving.generator import BenchError
from service.bench.driving.processes import fresh_database
from service.kit.concurrency.shares import Shares
from service.kit.schema.migrate import upgrade
from service.resources import Resources, open_resources
from service.vendor_calls.admission import claim_submissions
from service.webhooks.queue.claim import claim_deliveries

CLAIMED = 100
_LEASE = timedelta(minutes=10)
_NOBODY = "http://127.0.0.1:9"  # no vendor is asked here, and no webhook sent


@dataclass(frozen=True, slots=True)
class Size:
    """How many rows wait of each kind, few and many, and how many claims are measured after the first few."""

    few: int
    many: int
    claims: int
    warm_up: int


FULL = Size(few=10_000, many=1_000_000, claims=40, warm_up=5)
QUICK = Size(few=2_000, many=20_000, claims=8, warm_up=2)


@dataclass(frozen=True, slots=True)
class Claims:
    """The seconds that claims took of one kind of row, where few and where many waited."""

    few: Sequence[float]
    many: Sequence[float]


async def measure_claim(server: str | None, size: Size) -> Mapping[str, Claims]:
    """Return the times by kind of row. Both databases stand beside each other, and are claimed from in turn."""
    async with AsyncExitStack() as stack:
        few, many = [await _waiting(stack, server, rows) for rows in (size.few, size.many)]
        return {
            kind: await _in_turn(claim, few, many, size)
            for kind, claim in {"deliveries": claim_deliveries_of, "runs": claim_runs_of}.items()
        }


async def _waiting(stack: AsyncExitStack, server: str | None, rows: int) -> Resources:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="relay-bench-")))
    database_url = stack.enter_context(fresh_database(server, folder))
    await asyncio.to_thread(upgrade, database_url)
    settings = settings_inside(database_url, folder, _NOBODY)
    resources = await stack.enter_async_context(open_resources(settings))
    await asyncio.to_thread(write_waiting, resources, rows // WRITTEN - 1)
    return resources


async def _in_turn(claim: Callable[[Resources], Awaitable[int]], few: Resources, many: Resources, size: Size) -> Claims:
    for _ in range(size.warm_up):
        await _timed(claim, few)
        await _timed(claim, many)
    times = [(await _timed(claim, few), await _timed(claim, many)) for _ in range(size.claims)]
    return Claims(*zip(*times, strict=True))


async def _timed(claim: Callable[[Resources], Awaitable[int]], resources: Resources) -> float:
    started = time.perf_counter()
    claimed = await claim(resources)
    took = time.perf_counter() - started
    if claimed != CLAIMED:
        raise BenchError(f"a claim got {claimed} of {CLAIMED} due rows")
    return took


async def claim_deliveries_of(resources: Resources) -> int:
    """Claim up to 100 deliveries as a worker does; return how many."""
    now, places = resources.clock(), Shares(2 * CLAIMED)  # of which an account may have half
    claimed = await resources.database.write(
        claim_deliveries, now=now, lease_until=now + _LEASE, limit=CLAIMED, shares=places
    )
    return len(claimed)


async def claim_runs_of(resources: Resources) -> int:
    """Claim up to 100 runs as a worker does; return how many."""
    now, places = resources.clock(), Shares(2 * CLAIMED)  # of which a vendor may have half
    claimed, _ = await resources.database.write(
        claim_submissions, resources.policy.catalogue, now=now, limit=CLAIMED, shares=places
    )
    return len(claimed)
