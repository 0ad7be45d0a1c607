"""Starting `relay` in a copy of a process that has loaded it; what is started can be used like a `subprocess.Popen`."""

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[2]
_LOOK_SECONDS = 0.02


class Forked:
    """A running copy, or one that has ended."""

    def __init__(self, pid: int, origin: "_Origin") -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._origin = origin
        self._look = threading.Lock()  # its end is told once

    def poll(self) -> int | None:
        """Its exit status once it has ended, negative for a signal's number."""
        with self._look:
            if self.returncode is None:
                self.returncode = self._origin.ask({"poll": self.pid})
        return self.returncode

    def wait(self, timeout: float) -> int:
        """Its exit status, for which `timeout` seconds are waited."""
        deadline = time.monotonic() + timeout
        while (status := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("relay", timeout)
            time.sleep(_LOOK_SECONDS)
        return status

    def send_signal(self, number: int) -> None:
        """Do nothing if it has ended."""
        if self.poll() is None:  # until it was seen to end its id is nobody else's
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)


class _Origin:
    """The process that is copied."""

    def __init__(self) -> None:
        ours, its = socket.socketpair()
        with its:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.journeys.forking", str(its.fileno())],
                env={"PATH": os.environ["PATH"]},
                cwd=_ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[its.fileno()],
            )
        self._lines, self._line = ours.makefile("rwb"), ours
        self._turn = threading.Lock()
        atexit.register(self._end)

    def ask(self, request: Mapping[str, Any]) -> Any:
        """Its answer."""
        with self._turn:
            self._lines.write(json.dumps(request).encode() + b"\n")
            self._lines.flush()
            return json.loads(self._lines.readline())

    def _end(self) -> None:
        self._lines.close()
        self._line.close()  # which it sees
        self._process.wait()


@cache
def _origin() -> _Origin:
    return _Origin()


def start(command: list[str], environment: Mapping[str, str], log: Path) -> Forked:
    """`relay` runs with this command and environment, in the folder of this checkout; what it writes goes to `log`."""
    log.touch()
    origin = _origin()
    return Forked(origin.ask({"command": command, "environment": dict(environment), "log": str(log)}), origin)
