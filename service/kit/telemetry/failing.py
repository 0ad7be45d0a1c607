"""Logs of what fails again and again: whole the first time, then counted at growing pauses, then the recovery.

An outage that fails thousands of times must not bury the log under one traceback logged thousands of times.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import structlog

from service.kit.faults import Fault, fault_of

_FIRST_PAUSE_SECONDS = 10.0
_LONGEST_PAUSE_SECONDS = 600.0
_MOST_CAUSES = 100
_LONGEST_TEXT = 300

log = structlog.get_logger()


@dataclass
class _Cause:
    times: int
    since: float
    next_line_at: float
    pause: float = _FIRST_PAUSE_SECONDS


class Failing:
    """One thing that may fail. `event` names its log events, for example `loop.failed`; `ids` are in each of them."""

    def __init__(
        self, event: str, *, seconds: Callable[[], float] = time.monotonic, traceback: bool = True, **ids: Any
    ) -> None:
        self._event = event
        self._seconds = seconds
        self._traceback = traceback
        self._ids = ids
        self._causes: dict[str, _Cause] = {}
        self._lock = threading.Lock()
        self.failed_at = 0.0
        """The time of the last failure, by `seconds`."""
        self.fault: Fault | None = None
        """The last failure's fault, if it is one that passes."""

    @property
    def fails(self) -> bool:
        """Return True if it failed, and has not succeeded since."""
        return bool(self._causes)

    def failed(self, error: BaseException, **ids: Any) -> None:
        """Record a failure. Log it, if this cause is new or was last logged long enough ago."""
        self.fault = fault_of(error)
        cause = self._count(error)
        if cause is None:
            return
        fields = {"error": _text(error), **self._ids, **ids}
        if cause.times > 1:
            fields |= {"times": cause.times, "seconds": round(self.failed_at - cause.since, 1)}
        elif self._traceback:
            fields |= {"exc_info": error}
        (log.error if self._traceback else log.warning)(self._event, **fields)

    def well(self) -> None:
        """Record a success. Log the recovery, if it had failed."""
        if not self._causes:
            return
        with self._lock:
            causes, self._causes = list(self._causes.values()), {}
        if causes:
            seconds = self._seconds() - min(cause.since for cause in causes)
            times = sum(cause.times for cause in causes)
            event = self._event.partition(".")[0] + ".recovered"
            log.warning(event, times=times, seconds=round(seconds, 1), **self._ids)

    def _count(self, error: BaseException) -> _Cause | None:
        """Count the failure, and return its cause if it is to be logged now."""
        name = _name(error)
        with self._lock:
            now = self.failed_at = self._seconds()
            cause = self._causes.get(name)
            if cause is None:
                if len(self._causes) >= _MOST_CAUSES:
                    self._causes.clear()
                self._causes[name] = cause = _Cause(1, now, now + _FIRST_PAUSE_SECONDS)
                return cause
            cause.times += 1
            if now < cause.next_line_at:
                return None
            cause.pause = min(2 * cause.pause, _LONGEST_PAUSE_SECONDS)
            cause.next_line_at = now + cause.pause
            return cause


def _name(error: BaseException) -> str:
    """Return one name for failures that mend together: a fault that passes, or one kind of error at one line."""
    fault = fault_of(error)
    return fault.value if fault is not None else f"{type(error).__name__} at {_place(error.__traceback__)}"


def _place(trace: TracebackType | None) -> str:
    place = ""
    while trace is not None:
        place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place


def _text(error: BaseException) -> str:
    """Return the first line of the error's text, or its type."""
    return next(iter(str(error).splitlines()), "")[:_LONGEST_TEXT] or type(error).__name__
