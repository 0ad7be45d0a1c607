"""A process that has loaded what the commands that serve load, and becomes one of them whenever it is asked to.

Loading costs seconds of CPU; a copy of a process that has loaded costs milliseconds. `tests.journeys.forks` starts it,
speaks with it and says what a request is. It has no thread and no connection, so that a copy is like a new process.
"""

import gc
import importlib
import json
import os
import socket
import sys
from typing import Any

from service.__main__ import main
from service.cli.serve.lean import for_a_server

_OF_SERVERS = ("service.cli.serve.web", "service.cli.serve.worker", "service.kit.db.listen", "service.kit.db.postgres")
_OF_PEOPLE = ("rich.markdown", "service.cli.serve.dev", "service.cli.operate.doctor", "service.cli.client.listen")


def serve(line: socket.socket) -> bool:
    """Answer requests until the other side is gone. Return whether this is a copy, which has a command to run."""
    with line, line.makefile("rwb") as lines:
        for request in lines:
            asked = json.loads(request)
            if "poll" in asked:
                answer = _status(asked["poll"])
            elif (answer := os.fork()) == 0:
                _become(asked)
                return True
            lines.write(json.dumps(answer).encode() + b"\n")
            lines.flush()
    return False


def _status(pid: int) -> int | None:
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def _become(asked: dict[str, Any]) -> None:
    log = os.open(asked["log"], os.O_WRONLY | os.O_APPEND)
    for place in (1, 2):
        os.dup2(log, place)
    os.close(log)
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.argv[1:] = asked["command"]


def _load() -> None:
    """Load what those to come need, and let the collector pass over it: else each copy goes through it all."""
    with for_a_server():
        for name in _OF_SERVERS:
            importlib.import_module(name)
    for name in _OF_PEOPLE:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    _load()
    if serve(socket.socket(fileno=int(sys.argv[1]))):
        main()
