"""Doing a transaction again that PostgreSQL broke off because others were in its way.

Of transactions that wait for one another in a circle PostgreSQL ends one, and expects it to be begun again (manual
§13.3.4, §13.5). Rows are locked in one order so that it hardly happens; where it does, nothing must be lost by it:
what a vendor answered a submission, say, comes only once.
"""

import time
from collections.abc import Callable
from typing import TypeVar

import structlog
from sqlalchemy.exc import DBAPIError

from service.kit.telemetry.metrics import Count

T = TypeVar("T")

REPEATED = Count("relay_transactions_repeated_total", "Transactions that were broken off and begun again.", "why")

_TRIES = 5
_PAUSE_SECONDS = 0.02
_LONG_SECONDS = 1.0
_LOCK = "lock"
# The manual's appendix A: nothing of it was kept.
_WHY = {"40P01": "deadlock", "40001": "serialisation", "55P03": _LOCK}

log = structlog.get_logger()


def retry_deadlocks(transaction: Callable[[], T]) -> T:
    """What `transaction()` returned, if need be at a later try. Any other error, or that of the last try, is raised.

    Waits a little between tries: for threads, not for the event loop. Where a try had to wait long for a lock its error
    is raised: the thread is others' then, and the caller may begin again behind them.
    """
    for tries in range(1, _TRIES):
        begun = time.monotonic()
        try:
            return transaction()
        except DBAPIError as error:
            why = _why(error)
            if why is None:
                raise
            REPEATED.add(why)
            log.warning("database.repeated", why=why, tries=tries, detail=str(error.orig))
            if why == _LOCK and time.monotonic() - begun > _LONG_SECONDS:
                raise
        time.sleep(_PAUSE_SECONDS * tries)
    return transaction()


def waited_for_a_lock(error: DBAPIError) -> bool:
    """Return True if the transaction ended because a lock that it needs was not free in time."""
    return _why(error) == _LOCK


def _why(error: DBAPIError) -> str | None:
    return _WHY.get(getattr(error.orig, "sqlstate", None) or "")
