"""What makes it harder still for a hammered deployment: connections that end under way, clocks that differ."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import psycopg

from service.kit.db.database import Database

_OF_CUTS = ("terminating connection", "server closed the connection", "connection is lost", "AdminShutdown")
_EVERY_SECONDS = 0.1
_END_ONE = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle' ORDER BY random() LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Weather:
    """`cuts`: connections to PostgreSQL end amid their work. `skew_seconds`: by how much the second clock is ahead.

    `twins`: vendors now and then name a job that they named before.
    """

    cuts: bool = False
    skew_seconds: float = 0.0
    twins: bool = False

    def excuses(self, fault: str) -> bool:
        """Return True if this is what must be told in such weather."""
        return self.cuts and any(word in fault for word in _OF_CUTS)

    @asynccontextmanager
    async def over(self, database: Database) -> AsyncIterator[None]:
        """Let the weather be so, for a while."""
        if not self.cuts or database.is_sqlite:
            yield
            return
        url = database.url.set(drivername="postgresql").render_as_string(hide_password=False)
        cutting = asyncio.create_task(_cut(url))
        try:
            yield
        finally:
            cutting.cancel()
            await asyncio.wait({cutting})


FAIR = Weather()


async def _cut(url: str) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        while True:
            await connection.execute(_END_ONE)
            await asyncio.sleep(_EVERY_SECONDS)
