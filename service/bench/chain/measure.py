"""The whole chain, upload to webhook, with one detector that answers by callback: from outside, and by stage."""

import asyncio
import gc
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from service.bench.counting.inside import LATENCY_SECONDS, running_inside
from service.bench.counting.statements import Stage
from service.bench.driving.load import Passage
from service.bench.driving.outside import Serve, running_outside
from service.bench.driving.processes import Version, fresh_database
from service.kit.schema.migrate import upgrade


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured: detections and clients from outside, how often, and detections by stage."""

    detections: int
    clients: int
    rounds: int
    warm_up: int
    staged: int


FULL = Size(detections=600, clients=16, rounds=3, warm_up=32, staged=40)
QUICK = Size(detections=100, clients=16, rounds=1, warm_up=16, staged=10)


@dataclass(frozen=True, slots=True)
class Round:
    """One version, measured once. CPU is in milliseconds a detection, by process."""

    version: str
    passages: Sequence[Passage]
    seconds: float
    cpu_ms: dict[str, float]

    @property
    def rate(self) -> float:
        """Detections a second."""
        return len(self.passages) / self.seconds


async def measure_round(serve: Serve, version: Version, server: str | None, size: Size) -> Round:
    """Run one version on a fresh database under load, and end it."""
    async with running_outside(serve, version, server, LATENCY_SECONDS) as outside:
        one, customer = outside.deployment, outside.customer
        await customer.detect_many(size.warm_up, size.clients)
        before, own = one.cpu_ms(), _own_cpu_ms()
        passages, seconds = await customer.detect_many(size.detections, size.clients)
        after = one.cpu_ms() | {"load, twin, receiver": _own_cpu_ms() - own}
        used = {name: (spent - before.get(name, 0)) / size.detections for name, spent in after.items()}
    return Round(version.name, passages, seconds, used)


async def measure_stages(serve: Serve, server: str | None, size: Size) -> list[Stage]:
    """Count statements, commits and the database threads' CPU of this version by stage, one detection after another.

    The numbers are sums over `size.staged` detections.
    """
    with tempfile.TemporaryDirectory(prefix="relay-bench-") as place:
        folder = Path(place)
        with fresh_database(server, folder) as database_url:
            await asyncio.to_thread(upgrade, database_url)
            async with running_inside(serve, database_url, folder) as service:
                await service.customer.detect()
                await service.settled()
                with _little_garbage():
                    service.counts.clear()
                    await service.customer.detect_many(size.staged, 1)
                    await service.settled(size.staged)
                    return service.counts.by_stage()


@contextmanager
def _little_garbage() -> Iterator[None]:
    """Take what lives already out of the collector's sight: a full round costs as much as three detections."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _own_cpu_ms() -> float:
    return time.process_time() * 1000
