"""A process that serves: loaded without what only a developer at a terminal needs, its garbage collector set.

httpx and structlog load rich and pygments wherever these are installed: for a command of httpx's own, and for coloured
tracebacks. uvicorn loads watchfiles, to start anew when a source changes. A server has no use for them, and they are
8 MB.
"""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starlette.applications import Starlette

_FOR_DEVELOPERS = ("pygments", "rich", "watchfiles")
_MANY = 10_000


@contextmanager
def for_a_server() -> Iterator[None]:
    """Inside, what is imported finds none of these; what is loaded already stays."""
    modules: dict[str, Any] = sys.modules
    hidden = [name for name in _FOR_DEVELOPERS if name not in modules]
    modules.update(dict.fromkeys(hidden))  # Python's own sign for "not to be had"
    try:
        yield
    finally:
        for name in hidden:
            del modules[name]


def settle_collector() -> None:
    """Leave what is loaded by now out of all further rounds of the collector, and let more come together before each.

    What a process has imported is a hundred thousand objects, of which none ever goes. To look at them again and again
    took a quarter of all its time under load.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_MANY)


def web_from_environment() -> "Starlette":
    """Return the application as each of several processes makes it."""
    with for_a_server():
        from service.cli.serve.web import from_environment  # noqa: PLC0415

    return from_environment()
