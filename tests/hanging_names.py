"""A stand-in for the system's look-up of names: some are never answered, some are at home on loopback."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

_HANGS_SECONDS = 60

_system = socket.getaddrinfo


class Lookups:
    """What was asked. `….silent.example` hangs until `answered` is set; every other `.example` is on loopback."""

    def __init__(self) -> None:
        self.answered = threading.Event()
        self.asked: list[str] = []
        self.hanging = 0

    def __call__(self, host: Any, *rest: Any, **more: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if not isinstance(name, str) or not name.rstrip(".").endswith(".example"):
            return _system(host, *rest, **more)
        self.asked.append(name)
        if name.rstrip(".").endswith("silent.example"):
            self.hanging += 1
            self.answered.wait(_HANGS_SECONDS)
            self.hanging -= 1
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return _system("127.0.0.1", *rest, **more)


@contextmanager
def hanging_names() -> Iterator[Lookups]:
    """Inside, every look-up of this process goes through the stand-in; on leaving, what hangs is let go."""
    lookups = Lookups()
    with patch.object(socket, "getaddrinfo", lookups):
        try:
            yield lookups
        finally:
            lookups.answered.set()
