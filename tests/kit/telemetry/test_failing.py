"""What fails again and again is told whole once, then counted at growing pauses, then that it is over."""

import errno
import itertools

import psycopg
import pytest
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from service.kit.faults import Fault, fault_of
from service.kit.telemetry.failing import Failing


def gone(text: str = "connection refused") -> OperationalError:
    return OperationalError("SELECT", {}, psycopg.OperationalError(text))


def raised(error: Exception) -> Exception:
    try:
        raise error
    except type(error) as caught:
        return caught


def test_an_outage_of_an_hour_is_a_traceback_a_few_counts_and_an_end() -> None:
    now = [0.0]
    failing = Failing("loop.failed", seconds=lambda: now[0], loop="beat")
    with capture_logs() as lines:
        for second in range(3600):
            now[0] = float(second)
            failing.failed(gone(f"try {second}"))
        failing.well()
        failing.well()
    assert [line["event"] for line in lines] == ["loop.failed"] * (len(lines) - 1) + ["loop.recovered"]
    assert ["exc_info" in line for line in lines] == [True] + [False] * (len(lines) - 1)
    assert len(lines) < 15
    counted = [line["seconds"] for line in lines[1:-1]]
    pauses = [later - earlier for earlier, later in itertools.pairwise(counted)]
    assert pauses == sorted(pauses)
    assert (lines[-1]["times"], lines[-1]["seconds"], lines[-1]["loop"]) == (3600, 3599, "beat")


def test_each_cause_is_told_whole_and_a_new_outage_too() -> None:
    failing = Failing("loop.failed", seconds=lambda: 0.0)
    with capture_logs() as lines:
        for error in (gone(), raised(KeyError("a")), gone(), raised(KeyError("b")), raised(ValueError("c"))):
            failing.failed(error)
        failing.well()
        failing.failed(gone())
    assert [line.get("exc_info", None) is not None for line in lines] == [True, True, True, False, True]


def test_where_nothing_failed_nothing_is_told() -> None:
    with capture_logs() as lines:
        Failing("loop.failed").well()
    assert lines == []


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (gone(), Fault.UNAVAILABLE),
        (gone('FATAL:  too many connections for role "relay"'), Fault.OVERLOADED),
        (gone("FATAL:  remaining connection slots are reserved"), Fault.OVERLOADED),
        (psycopg.errors.AdminShutdown(), Fault.UNAVAILABLE),
        (psycopg.errors.TooManyConnections(), Fault.OVERLOADED),
        (psycopg.errors.DiskFull(), Fault.FULL),
        (psycopg.errors.ReadOnlySqlTransaction(), Fault.READ_ONLY),
        (psycopg.errors.LockNotAvailable(), Fault.OVERLOADED),
        (OSError(errno.ENOSPC, "full"), Fault.FULL),
        (psycopg.errors.UniqueViolation(), None),
        (psycopg.errors.UndefinedTable(), None),
        (FileNotFoundError(errno.ENOENT, "none"), None),
        (KeyError("x"), None),
    ],
)
def test_what_passes_is_told_from_what_does_not(error: Exception, fault: Fault | None) -> None:
    assert fault_of(error) is fault
    wrapped = RuntimeError("around it")
    wrapped.__cause__ = error
    assert fault_of(wrapped) is fault
