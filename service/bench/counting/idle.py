"""What a worker that has nothing to do asks of its database, counted over a minute of its loops and not over time."""

from collections.abc import Mapping

from service.bench.counting.statements import Counts, counting
from service.resources import Resources
from service.worker import Worker

_MINUTE = 60.0
_HEARING_SECONDS = 1.0


async def idle_per_second(
    resources: Resources, sweep: float = _HEARING_SECONDS
) -> tuple[Mapping[str, float], Mapping[str, float]]:
    """Return statements and write transactions a second, by loop: those of a minute in which nothing is due.

    It is asked what is due every `sweep` seconds; where commits of others are not heard of that is more often.
    """
    statements: dict[str, float] = {}
    commits: dict[str, float] = {}
    counts = Counts()
    worker = Worker(resources)

    def note(name: str) -> None:
        asked, written = counts.total
        statements[name] = statements.get(name, 0) + asked / _MINUTE
        commits[name] = commits.get(name, 0) + written / _MINUTE
        counts.clear()

    loops = worker.loops()
    for loop in loops:
        await loop.step()  # the first round may find something: what is counted is what comes after it
    with counting(resources.database.engine, counts):
        for loop in loops:
            for _ in range(round(_MINUTE / loop.every) if loop.every else 0):
                await loop.step()
            note(loop.name)
        at = 0.0
        while at < _MINUTE:
            due, pause = await worker.find_due()
            note("find due rows")
            for loop in loops:
                if loop.name in due:
                    await loop.step()
                    note(loop.name)
            at += min(pause, sweep)
    return statements, commits
