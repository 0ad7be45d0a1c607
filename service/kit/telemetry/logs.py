"""Structured logs on standard error: one line an event, as JSON or for a person's eye."""

import logging
import os
import sys
from typing import Literal

import structlog


class _ToStandardError:
    """Writes each line to what standard error is at that moment: a later redirection is obeyed."""

    def msg(self, line: str) -> None:
        """Write the line whole, and flush it."""
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()

    debug = info = warning = error = critical = exception = msg


def set_up_logs(kind: Literal["console", "json"], level: int = logging.INFO) -> None:
    """Let `structlog` write that way from now on. The standard library's loggers write from WARNING on."""
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if kind == "json"
        else structlog.dev.ConsoleRenderer(colors=_has_colours(), exception_formatter=structlog.dev.plain_traceback)
    )
    last = [structlog.processors.format_exc_info, renderer] if kind == "json" else [renderer]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: _ToStandardError(),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
    # It warns each time a duty takes longer than its interval, which is no fault: the next round begins a little later.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)


def _has_colours() -> bool:
    """Return True if standard error is a terminal whose owner wants colours (https://no-color.org)."""
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR")
