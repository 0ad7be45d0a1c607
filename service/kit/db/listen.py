"""Hearing NOTIFY from other processes on PostgreSQL. A lost connection is made again; sweeps cover the gap.

A line on which nothing comes may be dead: whenever it was quiet for a while, the other end is asked for an answer.
"""

import asyncio

import psycopg
import structlog
from sqlalchemy.engine import URL

from service.kit.concurrency.wake import CHANNEL, LISTENING_SWEEP_SECONDS, SWEEP_SECONDS, Wake
from service.kit.db.patience import Patience
from service.kit.db.postgres import line_to
from service.kit.telemetry.failing import Failing

log = structlog.get_logger()

_RECONNECT_SECONDS = 1.0
_HEARD_WITHIN_SECONDS = 2.0
OFTEN_SWEEP_SECONDS = 0.25


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
        wake.sweep_seconds = LISTENING_SWEEP_SECONDS
        wake.notify_all()  # whatever was said while nobody listened
        while True:
            async for notify in line.notifies(timeout=patience.connect or None):
                wake.receive(notify.payload)
            await line.execute("SELECT 1")


async def listen_or_sweep(listen_url: URL, notify_url: URL, wake: Wake, patience: Patience) -> None:
    """Listen where a NOTIFY sent through `notify_url` arrives. Where none does, let sleepers look often instead.

    What only may pass, such as a database that restarts, decides nothing: it is asked again.
    """
    failing = Failing("listen.check_failed", traceback=False)
    while True:
        try:
            heard = await _is_heard(listen_url, notify_url, patience, _HEARD_WITHIN_SECONDS)
        except (psycopg.Error, OSError) as error:
            failing.failed(error)
            await asyncio.sleep(_RECONNECT_SECONDS)
        else:
            failing.well()
            break
    if heard:
        await listen(listen_url, wake, patience)
    else:
        sweep_often(wake)


def sweep_often(wake: Wake) -> None:
    """Let the sleepers of this process look often: no commit of another process is heard of."""
    wake.sweep_seconds = OFTEN_SWEEP_SECONDS
    wake.notify_all()  # who sleeps now sleeps for longer than that
    advice = "set DATABASE_LISTEN_URL to a session-mode address"
    log.warning("listen.deaf", advice=advice, sweep=OFTEN_SWEEP_SECONDS)


async def can_listen(
    listen_url: URL, notify_url: URL, patience: Patience, *, within: float = _HEARD_WITHIN_SECONDS
) -> bool:
    """Return True if a NOTIFY sent through `notify_url` is heard at `listen_url`. Return False too if that fails."""
    try:
        return await _is_heard(listen_url, notify_url, patience, within)
    except (psycopg.Error, OSError) as error:
        log.warning("listen.check_failed", error=str(error))
    return False


async def _is_heard(listen_url: URL, notify_url: URL, patience: Patience, within: float) -> bool:
    """Ask. A transaction-mode pooler accepts a LISTEN, and delivers nothing."""
    async with line_to(listen_url, patience) as ears:
        await ears.execute(f"LISTEN {CHANNEL}_check")
        async with line_to(notify_url, patience) as voice:
            await voice.execute(f"NOTIFY {CHANNEL}_check")
        async for _ in ears.notifies(timeout=within, stop_after=1):
            return True
    return False
