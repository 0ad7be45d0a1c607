"""A ratchet: one detection costs at most these statements and commits, and an idle worker at most these a second.

Counts, never times. A change that makes a detection cheaper lowers its ceiling here in the same commit.
"""

from pathlib import Path

import pytest

from service.bench.counting.idle import idle_per_second
from service.bench.counting.inside import running_inside, settings_inside
from service.cli.bench import serve
from service.kit.listen import DEAF_SWEEP_SECONDS
from service.resources import open_resources

# Statements and commits, as measured. To reach: 60 and 8 on SQLite, 70 and 9 on PostgreSQL.
_ALONE = {"sqlite": (62, 10), "postgresql": (81, 13)}


async def test_one_detection_alone_costs_no_more_than_it_did(database_url: str, tmp_path: Path) -> None:
    ceiling = _ALONE[database_url.partition(":")[0]]
    async with running_inside(serve, database_url, tmp_path) as service:
        await service.customer.detect()  # the first one also makes what all later ones find
        await service.settled()
        service.counts.clear()
        await service.customer.detect()
        await service.settled()
        counted, (statements, commits) = str(service.counts), service.counts.total
    assert statements <= ceiling[0], f"\n{counted}"
    assert commits <= ceiling[1], f"\n{counted}"


@pytest.mark.parametrize(("sweep", "ceiling"), [(1.0, (3, 0.5)), (DEAF_SWEEP_SECONDS, (6, 0.5))], ids=["hears", "deaf"])
async def test_an_idle_worker_is_quiet(
    database_url: str, tmp_path: Path, sweep: float, ceiling: tuple[float, float]
) -> None:
    async with open_resources(settings_inside(database_url, tmp_path, "http://127.0.0.1:1")) as resources:
        statements, commits = await idle_per_second(resources, sweep)
    assert sum(statements.values()) <= ceiling[0], statements
    assert sum(commits.values()) <= ceiling[1], commits
