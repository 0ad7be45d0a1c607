"""Logging what fails again and again: whole the first time, then counted at growing pauses, then that it is over.

An outage that fails thousands of times must not bury the log under one traceback told thousands of times.
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
    """One thing that may fail. `event` names its lines, as `loop.failed`; `ids` stand in each of them."""

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
        """When it last failed, by `seconds`."""
        self.fault: Fault | None = None
        """What it last failed of, if that passes."""

    @property
    def fails(self) -> bool:
        """Return True if it failed, and was not well since."""
        return bool(self._causes)

    def failed(self, error: BaseException, **ids: Any) -> None:
        """It failed. There is a line, if this cause is new or has not been told of for long enough."""
        self.fault = fault_of(error)
        told = self._noted(error)
        if told is None:
            return
        said = {"error": _text(error), **self._ids, **ids}
        if told.times > 1:
            said |= {"times": told.times, "seconds": round(self.failed_at - told.since, 1)}
        elif self._traceback:
            said |= {"exc_info": error}
        (log.error if self._traceback else log.warning)(self._event, **said)

    def well(self) -> None:
        """It went well. There is a line, if it had failed."""
        if not self._causes:
            return
        with self._lock:
            causes, self._causes = list(self._causes.values()), {}
        if causes:
            seconds = self._seconds() - min(cause.since for cause in causes)
            times = sum(cause.times for cause in causes)
            event = self._event.partition(".")[0] + ".recovered"
            log.warning(event, times=times, seconds=round(seconds, 1), **self._ids)

    def _noted(self, error: BaseException) -> _Cause | None:
        """What is known of this cause; `None` where there is nothing to say of it now."""
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
    """The same for failures that mend together: a fault that passes, or one kind of error at one place."""
    fault = fault_of(error)
    return fault.value if fault is not None else f"{type(error).__name__} at {_place(error.__traceback__)}"


def _place(trace: TracebackType | None) -> str:
    place = ""
    while trace is not None:
        place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place


def _text(error: BaseException) -> str:
    """The first line, for a reader who sees only this one."""
    return next(iter(str(error).splitlines()), "")[:_LONGEST_TEXT] or type(error).__name__
