"""Hearing NOTIFY from other processes on PostgreSQL. A lost connection is made again; sweeps cover the gap.

A line on which nothing comes may be dead: whenever it was quiet for a while, the other end is asked for an answer.
"""

import asyncio

import psycopg
import structlog
from sqlalchemy.engine import URL

from service.kit.failing import Failing
from service.kit.patience import Patience, line_to
from service.kit.wake import CHANNEL, HEARD_SWEEP_SECONDS, SWEEP_SECONDS, Wake

log = structlog.get_logger()

_RECONNECT_SECONDS = 1.0
DEAF_SWEEP_SECONDS = 0.25


async def listen(url: URL, wake: Wake, patience: Patience) -> None:
    """Sleepers of this process are woken by other processes' commits, until cancelled."""
    failing = Failing("listen.lost", traceback=False)
    while True:
        try:
            await _listen_once(url, wake, patience, failing)
        except (psycopg.Error, OSError) as error:
            failing.failed(error)
        finally:
            wake.sweep_seconds = SWEEP_SECONDS
        await asyncio.sleep(_RECONNECT_SECONDS)


async def _listen_once(url: URL, wake: Wake, patience: Patience, failing: Failing) -> None:
    async with line_to(url, patience) as line:
        await line.execute(f"LISTEN {CHANNEL}")
        failing.well()
        wake.sweep_seconds = HEARD_SWEEP_SECONDS
        wake.tell_everybody()  # whatever was said while nobody listened
        while True:
            async for notify in line.notifies(timeout=patience.connect or None):
                wake.hear(notify.payload)
            await line.execute("SELECT 1")


async def can_hear(listen_url: URL, notify_url: URL, patience: Patience, *, within: float = 2.0) -> bool:
    """Whether a NOTIFY sent through `notify_url` is heard at `listen_url`. A transaction-mode pooler makes us deaf."""
    try:
        async with line_to(listen_url, patience) as ears:
            await ears.execute(f"LISTEN {CHANNEL}_check")
            async with line_to(notify_url, patience) as voice:
                await voice.execute(f"NOTIFY {CHANNEL}_check")
            async for _ in ears.notifies(timeout=within, stop_after=1):
                return True
    except (psycopg.Error, OSError) as error:
        log.warning("listen.check_failed", error=str(error))
    return False
