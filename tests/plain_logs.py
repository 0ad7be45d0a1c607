"""How the service's logs are written in a test process."""

import structlog


def write_plain_logs() -> None:
    """Write each event in a line, and a traceback as Python does: the library's own takes half a second to draw one."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
        ]
    )
