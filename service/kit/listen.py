"""Hearing NOTIFY from other processes on PostgreSQL. A lost connection is made again; sweeps cover the gap."""

import asyncio

import psycopg
import structlog
from sqlalchemy.engine import URL

from service.kit.wake import CHANNEL, Wake

log = structlog.get_logger()

_RECONNECT_SECONDS = 1.0
DEAF_SWEEP_SECONDS = 0.25


async def listen(url: URL, wake: Wake) -> None:
    """Sleepers of this process are woken by other processes' commits, until cancelled."""
    while True:
        try:
            await _listen_once(url, wake)
        except (psycopg.Error, OSError) as error:
            log.warning("listen.lost", error=str(error))
        await asyncio.sleep(_RECONNECT_SECONDS)


async def _listen_once(url: URL, wake: Wake) -> None:
    async with await psycopg.AsyncConnection.connect(_conninfo(url), autocommit=True) as connection:
        await connection.execute(f"LISTEN {CHANNEL}")
        wake.tell_everybody()  # whatever was said while nobody listened
        async for notify in connection.notifies():
            wake.hear(notify.payload)


async def can_hear(listen_url: URL, notify_url: URL, *, within: float = 2.0) -> bool:
    """Whether a NOTIFY sent through `notify_url` is heard at `listen_url`. A transaction-mode pooler makes us deaf."""
    try:
        async with await psycopg.AsyncConnection.connect(_conninfo(listen_url), autocommit=True) as ears:
            await ears.execute(f"LISTEN {CHANNEL}_check")
            async with await psycopg.AsyncConnection.connect(_conninfo(notify_url), autocommit=True) as voice:
                await voice.execute(f"NOTIFY {CHANNEL}_check")
            async for _ in ears.notifies(timeout=within, stop_after=1):
                return True
    except (psycopg.Error, OSError) as error:
        log.warning("listen.check_failed", error=str(error))
    return False


def _conninfo(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)
