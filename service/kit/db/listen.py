"""LISTEN for the NOTIFY of other processes on PostgreSQL. A lost connection is made again; sweeps cover the gap.

A connection on which nothing comes may be dead: after some quiet time the server is asked for an answer.
"""

import asyncio

import psycopg
import structlog
from sqlalchemy.engine import URL

from service.kit.concurrency.wake import CHANNEL, LISTENING_SWEEP_SECONDS, SWEEP_SECONDS, Wake
from service.kit.db.patience import Patience
from service.kit.db.postgres import connection_to
from service.kit.telemetry.failing import Failing

log = structlog.get_logger()

_RECONNECT_SECONDS = 1.0
_ARRIVES_WITHIN_SECONDS = 2.0
OFTEN_SWEEP_SECONDS = 0.25


async def listen(url: URL, wake: Wake, patience: Patience) -> None:
    """Wake sleepers of this process at other processes' commits, until cancelled."""
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
    async with connection_to(url, patience) as connection:
        await connection.execute(f"LISTEN {CHANNEL}")
        failing.well()
        wake.sweep_seconds = LISTENING_SWEEP_SECONDS
        wake.notify_all()  # for what was sent while this process did not listen
        while True:
            async for notify in connection.notifies(timeout=patience.connect or None):
                wake.receive(notify.payload)
            await connection.execute("SELECT 1")


async def listen_or_sweep(listen_url: URL, notify_url: URL, wake: Wake, patience: Patience) -> None:
    """Listen where a NOTIFY sent through `notify_url` arrives. Where none does, let sleepers sweep often instead.

    A fault that may pass, such as a database that restarts, decides nothing: the test is repeated.
    """
    failing = Failing("listen.check_failed", traceback=False)
    while True:
        try:
            arrives = await _notify_arrives(listen_url, notify_url, patience, _ARRIVES_WITHIN_SECONDS)
        except (psycopg.Error, OSError) as error:
            failing.failed(error)
            await asyncio.sleep(_RECONNECT_SECONDS)
        else:
            failing.well()
            break
    if arrives:
        await listen(listen_url, wake, patience)
    else:
        sweep_often(wake)


def sweep_often(wake: Wake) -> None:
    """Let the sleepers of this process sweep often: no commit of another process notifies it."""
    wake.sweep_seconds = OFTEN_SWEEP_SECONDS
    wake.notify_all()  # those that sleep now would sleep for longer
    advice = "set DATABASE_LISTEN_URL to a session-mode address"
    log.warning("listen.deaf", advice=advice, sweep=OFTEN_SWEEP_SECONDS)


async def can_listen(
    listen_url: URL, notify_url: URL, patience: Patience, *, within: float = _ARRIVES_WITHIN_SECONDS
) -> bool:
    """Return True if a NOTIFY sent through `notify_url` arrives at `listen_url`. Return False too if that fails."""
    try:
        return await _notify_arrives(listen_url, notify_url, patience, within)
    except (psycopg.Error, OSError) as error:
        log.warning("listen.check_failed", error=str(error))
    return False


async def _notify_arrives(listen_url: URL, notify_url: URL, patience: Patience, within: float) -> bool:
    """Test it. A transaction-mode pooler accepts a LISTEN, and delivers nothing."""
    async with connection_to(listen_url, patience) as receiver:
        await receiver.execute(f"LISTEN {CHANNEL}_check")
        async with connection_to(notify_url, patience) as sender:
            await sender.execute(f"NOTIFY {CHANNEL}_check")
        async for _ in receiver.notifies(timeout=within, stop_after=1):
            return True
    return False
