"""Everything at once, by chance: whatever clients, vendors and the clock do, nothing is lost, doubled or stuck.

Here a few seconds of it. Longer, and with other seeds, by hand, on a new database of its own:

    python -m tests.journeys.test_hammer --seconds 60 --seed 7 --database postgresql
"""

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from service.kit.schema.migrate import upgrade
from tests import postgres
from tests.journeys.hammer import Hammer, hammer
from tests.journeys.hammer_clients import strike
from tests.journeys.hammer_rules import broken, callback_ends, run_ends
from tests.journeys.hammer_weather import Weather

ACTS = 100


@pytest.mark.timeout(120)
async def test_nothing_is_lost_doubled_or_stuck_under_the_hammer(database_url: str) -> None:
    async with hammer(database_url, seed=1) as here:
        await strike(here, times=ACTS)
        assert here.errors == []
        assert broken(here) == []
        assert_it_was_work(here)


def assert_it_was_work(here: Hammer) -> None:
    """All sorts of things happened."""
    assert here.done["POST v1/detections 202"] > 10
    assert here.target.answered[200] > 10
    assert sum(sum(vendor.taken_of.values()) for vendor in here.vendors) > 10


async def _by_hand(database_url: str, seed: int, seconds: float, weather: Weather) -> tuple[list[str], list[str]]:
    """Return what is wrong, and what happened."""
    async with hammer(database_url, seed, weather) as here:
        asked = await strike(here, seconds=seconds)
        happened = [
            f"detections: {len(asked.detections)}",
            f"{sum(here.done.values())} requests: {dict(sorted(here.done.items()))}",
            f"in the log: {dict(here.logged.most_common())}",
            f"submissions taken: {sum(sum(one.taken_of.values()) for one in here.vendors)}",
            f"runs: {dict(await here.database.read(run_ends))}",
            f"callbacks: {dict(await here.database.read(callback_ends))}",
            f"answers to webhooks: {dict(here.target.answered)}",
        ]
        return [*here.errors, *broken(here)], happened


@contextmanager
def _database(chosen: str) -> Iterator[str]:
    """Yield the address: as it was given, or of a new database on the engine that was named."""
    with tempfile.TemporaryDirectory() as folder:
        if chosen == "sqlite":
            upgrade(f"sqlite:///{folder}/relay.db")
            yield f"sqlite:///{folder}/relay.db"
        elif chosen == "postgresql":
            server = postgres.new_folder()
            postgres.start(server, until_exit_of=os.getpid())
            with postgres.fresh_database(server, "hammer") as url:
                yield url
            postgres.stop(server)
        else:
            yield chosen


def main() -> int:
    """Hammer for so long, tell what is wrong, and return how much that is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--database", default="sqlite", help="sqlite, postgresql, or the address of a migrated one")
    parser.add_argument("--cuts", action="store_true", help="end connections to PostgreSQL amid their work")
    parser.add_argument("--skew", type=float, default=0.0, help="how many seconds the second clock is ahead")
    parser.add_argument("--twins", action="store_true", help="vendors now and then name a job twice")
    chosen = parser.parse_args()
    weather = Weather(chosen.cuts, chosen.skew, chosen.twins)
    with _database(chosen.database) as url:
        wrong, happened = asyncio.run(_by_hand(url, chosen.seed, chosen.seconds, weather))
    sys.stdout.write("\n".join([*happened, *(f"WRONG {line}" for line in wrong[:50]), f"{len(wrong)} wrong", ""]))
    return min(len(wrong), 99)


if __name__ == "__main__":
    raise SystemExit(main())
