"""Hearing what a deployment in the test's own process says to its operator."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import structlog
from structlog.testing import capture_logs


class _Errors(logging.Handler):
    """Takes what the standard library's loggers say aloud: tasks whose failures nobody heard of, for one."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._faults = faults

    def emit(self, record: logging.LogRecord) -> None:
        self._faults.append(f"logged by {record.name}: {self.format(record)[:3000]}")


@contextmanager
def listening(faults: list[str]) -> Iterator[Sequence[Mapping[str, Any]]]:
    """Yield the log as it grows. Errors of the standard library's loggers are added to `faults`."""
    errors = _Errors(faults)
    logging.getLogger().addHandler(errors)
    try:
        with capture_logs(processors=[structlog.processors.format_exc_info]) as lines:
            yield lines
    finally:
        logging.getLogger().removeHandler(errors)
