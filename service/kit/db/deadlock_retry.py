"""The retry of a transaction that PostgreSQL aborted because of other transactions.

In a deadlock PostgreSQL aborts one of the transactions, and expects it to be begun again (manual §13.3.4, §13.5). Rows
are locked in one order so that it hardly happens; where it does, nothing may be lost: a vendor's answer to a
submission, for example, comes only once.
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
    """Return what `transaction()` returned, if need be at a later try. Raise any other error, or that of the last try.

    It sleeps a little between tries, so call it in a thread, not in the event loop. Where a try waited long for a lock
    its error is raised: the thread is free for others then, and the caller may begin again behind them.
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
