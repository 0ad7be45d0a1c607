"""`relay healthcheck`: whether the process in this container does its work. For `HEALTHCHECK` in the Dockerfile.

A web process is asked at its door. A worker has none, and is known by its heartbeat in the database.
"""

import http.client
import socket
import sys
from contextlib import closing

from sqlalchemy.exc import DBAPIError

from service.cli.checks.finding import FRESH
from service.cli.preflight import open_database, operator_message
from service.kit.clock import Clock
from service.kit.errors import SettingsError
from service.kit.process.heartbeat import last_beat
from service.kit.system_clock import system_clock
from service.settings import Settings, load_settings

_PATIENCE_SECONDS = 4.0


def command() -> int:
    """Print how this container's process is. Return 0 if it is healthy, else 1."""
    return run_healthcheck()


def run_healthcheck(*, clock: Clock = system_clock, patience_seconds: float = _PATIENCE_SECONDS) -> int:
    """Print how it is, and return 0 if it is well, else 1. Docker knows no other status."""
    try:
        settings = load_settings(secrets_needed=False)
        wrong = (
            _of_door(settings, patience_seconds)
            if _listens(settings, patience_seconds)
            else _of_worker(settings, clock)
        )
    except (SettingsError, DBAPIError) as error:
        wrong = operator_message(error)
    sys.stdout.write(f"{wrong or 'well'}\n")
    return 0 if wrong is None else 1


def _listens(settings: Settings, patience_seconds: float) -> bool:
    """Return False if nothing listens at our port: then this is not a web process, or not yet."""
    try:
        socket.create_connection(_reachable_address(settings), patience_seconds).close()
    except ConnectionRefusedError:
        return False
    except OSError:
        pass  # it is there, and does not answer
    return True


def _of_door(settings: Settings, patience_seconds: float) -> str | None:
    host, port = _reachable_address(settings)
    with closing(http.client.HTTPConnection(host, port, timeout=patience_seconds)) as connection:
        try:
            connection.request("GET", "/livez")
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            return f"/livez does not answer at {host}:{port} ({type(error).__name__}); start this process again"
    return None if status == http.client.OK else f"/livez answers {status} at {host}:{port}; is it relay web?"


def _of_worker(settings: Settings, clock: Clock) -> str | None:
    host = socket.gethostname()
    with closing(open_database(settings)) as database, database.reading() as session:
        beaten = last_beat(session, host)
    if beaten is None:
        return f"nothing listens at port {settings.bind[1]}, and no worker of {host} has shown itself"
    age = clock() - beaten
    if age < FRESH:
        return None
    return f"the last heartbeat of {host} is {age.total_seconds():.0f} s old; look at its log, or start it again"


def _reachable_address(settings: Settings) -> tuple[str, int]:
    host, port = settings.bind
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port  # noqa: S104 - as it was told to listen
