"""All that is measured: how each case is run, how it is told, and what is to be reached in it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from service.bench import chain, claim, deliver, flow, ingest, memory, neighbours, polling
from service.bench.chain import chain_reached, chain_report, show_chain
from service.bench.claim import claim_reached, claim_report, show_claim
from service.bench.deliver import deliver_reached, deliver_report, show_deliver
from service.bench.driving.outside import Serve
from service.bench.driving.processes import Version
from service.bench.flow import flow_reached, flow_report, show_flow
from service.bench.ingest import ingest_reached, ingest_report, show_ingest
from service.bench.memory import memory_reached, memory_report, show_memory
from service.bench.neighbours import neighbours_reached, neighbours_report, show_neighbours
from service.bench.polling import polling_reached, polling_report, show_polling
from service.bench.reach import Reach

Report = dict[str, Any]
Round = TypeVar("Round")


@dataclass(frozen=True, slots=True)
class Setup:
    """What is measured, and on what: this version first, and the one to compare it with, where there is one.

    `server` is the address of a PostgreSQL; without one it is SQLite.
    """

    serve: Serve
    server: str | None
    versions: Sequence[Version]
    quick: bool

    @property
    def database(self) -> str:
        """The database's name, as reports tell it."""
        return "PostgreSQL" if self.server else "SQLite"

    async def in_turn(self, rounds: int, measure: Callable[[Version], Awaitable[Round]]) -> list[Round]:
        """Return what each version came to in each round, one version after the other."""
        return [await measure(version) for _ in range(rounds) for version in self.versions]


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that is measured."""

    run: Callable[[Setup], Awaitable[Report]]
    show: Callable[[Mapping[str, Any]], None]
    reached: Callable[[Mapping[str, Any]], Sequence[Reach]]

    async def measure(self, setup: Setup) -> Report:
        """Return the case's report, and in it what was to be reached."""
        report = await self.run(setup)
        return {**report, "reached": [each.as_json() for each in self.reached(report)]}


async def _chain(setup: Setup) -> Report:
    size = chain.QUICK if setup.quick else chain.FULL
    rounds = await setup.in_turn(
        size.rounds, lambda version: chain.measure_round(setup.serve, version, setup.server, size)
    )
    stages = await chain.measure_stages(setup.serve, setup.server, size)
    return chain_report(rounds, stages, size, setup.database)


async def _flow(setup: Setup) -> Report:
    size = flow.QUICK if setup.quick else flow.FULL
    rounds = await setup.in_turn(
        size.rounds, lambda version: flow.measure_round(setup.serve, version, setup.server, size)
    )
    return flow_report(rounds, size, setup.database)


async def _ingest(setup: Setup) -> Report:
    size = ingest.QUICK if setup.quick else ingest.FULL
    rounds = await setup.in_turn(size.rounds, lambda version: ingest.measure_round(version, setup.server, size))
    return ingest_report(rounds, size, setup.database)


async def _deliver(setup: Setup) -> Report:
    size = deliver.QUICK if setup.quick else deliver.FULL
    return deliver_report(await deliver.measure_deliver(setup.server, size), size, setup.database)


async def _claim(setup: Setup) -> Report:
    size = claim.QUICK if setup.quick else claim.FULL
    return claim_report(await claim.measure_claim(setup.server, size), size, setup.database)


async def _neighbours(setup: Setup) -> Report:
    size = neighbours.QUICK if setup.quick else neighbours.FULL
    rounds = await neighbours.measure_neighbours(setup.serve, setup.server, size)
    return neighbours_report(rounds, size, setup.database)


async def _memory(setup: Setup) -> Report:
    size = memory.QUICK if setup.quick else memory.FULL
    rounds = await setup.in_turn(size.rounds, lambda version: memory.measure_round(version, setup.server, size))
    return memory_report(rounds, size, setup.database)


async def _polling(setup: Setup) -> Report:
    size = polling.QUICK if setup.quick else polling.FULL
    asked = await polling.measure_polling(setup.serve, setup.server, size)
    return polling_report(asked, size, setup.database)


CASES: Mapping[str, Case] = {
    "chain": Case(_chain, show_chain, chain_reached),
    "flow": Case(_flow, show_flow, flow_reached),
    "ingest": Case(_ingest, show_ingest, ingest_reached),
    "deliver": Case(_deliver, show_deliver, deliver_reached),
    "claim": Case(_claim, show_claim, claim_reached),
    "neighbours": Case(_neighbours, show_neighbours, neighbours_reached),
    "memory": Case(_memory, show_memory, memory_reached),
    "polling": Case(_polling, show_polling, polling_reached),
}
