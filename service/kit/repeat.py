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

from service.kit.metrics import Count

T = TypeVar("T")

REPEATED = Count("relay_transactions_repeated_total", "Transactions that were broken off and begun again.", "why")

_TRIES = 5
_PAUSE_SECONDS = 0.02
_WHY = {"40P01": "deadlock", "40001": "serialisation"}  # the manual's appendix A: nothing of it was kept

log = structlog.get_logger()


def repeated(transaction: Callable[[], T]) -> T:
    """What `transaction()` returned, if need be at a later try. Any other error, or that of the last try, is raised.

    Waits a little between tries: for threads, not for the event loop.
    """
    for tries in range(1, _TRIES):
        try:
            return transaction()
        except DBAPIError as error:
            why = _WHY.get(getattr(error.orig, "sqlstate", None) or "")
            if why is None:
                raise
            REPEATED.add(why)
            log.warning("database.repeated", why=why, tries=tries, detail=str(error.orig))
        time.sleep(_PAUSE_SECONDS * tries)
    return transaction()
