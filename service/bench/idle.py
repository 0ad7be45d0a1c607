"""What a worker that has nothing to do asks of its database: a count over the table of its loops, not over time."""

from collections.abc import Mapping

from service.bench.statements import Counts, counting
from service.resources import Resources
from service.worker import Worker

_SWEEP_SECONDS = 1.0
"""How often a loop with a topic looks at the latest, where it hears of commits."""


async def idle_per_second(resources: Resources) -> tuple[Mapping[str, float], Mapping[str, float]]:
    """Return statements and write transactions a second, by loop: those of an idle round by how often it comes."""
    statements: dict[str, float] = {}
    commits: dict[str, float] = {}
    counts = Counts()
    worker = Worker(resources)
    with counting(resources.database.engine, counts):
        for loop in worker.loops():
            await loop.step()  # the first round may find something: what is counted is the one after it
            counts.clear()
            await loop.step()
            every = min(loop.every, _SWEEP_SECONDS) if loop.topic else loop.every
            asked, written = counts.total
            statements[loop.name], commits[loop.name] = asked / every, written / every
    return statements, commits
