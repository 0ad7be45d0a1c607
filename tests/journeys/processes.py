"""Our own processes, started as an operator would, on loopback; ended by their id."""

import asyncio
import itertools
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import httpx
from sqlmodel import Session

from service.accounts.api_keys import account_named, create
from service.callbacks.addresses import address_token
from service.kit.db.database import Database
from service.kit.security.sealing import Sealer
from service.kit.system_clock import system_clock
from tests.journeys import forks
from tests.waiting import until

ROOT = Path(__file__).parents[2]
_EXIT_SECONDS = 40


def free_port() -> int:
    """A loopback port nobody listens on, and nobody else will be given.

    Each xdist worker has its own ports, below those the system hands to outgoing connections: a port that was only
    probed free could be somebody else's by the time a process binds it.
    """
    for port in _PORTS:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
    raise AssertionError("no port is left")


def _own_ports() -> Iterator[int]:
    place = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    first = 20_000 + place % 4 * 3_000
    return itertools.cycle(range(first + os.getpid() % 1_000, first + 3_000))


_PORTS = _own_ports()


@dataclass
class Process:
    """A `relay` command running. `log` is what it wrote.

    One that is `forked` is a copy of a process that has loaded this checkout, which spares seconds of CPU.
    """

    command: list[str]
    environment: Mapping[str, str]
    log_path: Path
    forked: bool = False
    popen: subprocess.Popen[bytes] | forks.Forked | None = None

    def start(self) -> None:
        """It runs, with its output appended to its log."""
        # With that set the web process starts others, which would begin as what this one began as.
        several = self.command[0] == "web" and "WEB_CONCURRENCY" in self.environment
        if self.forked and not several:
            self.popen = forks.start(self.command, self.environment, self.log_path)
            return
        with self.log_path.open("ab") as log:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", "service", *self.command],
                env=dict(self.environment),
                cwd=ROOT,
                stdout=log,
                stderr=log,
            )

    @property
    def running(self) -> subprocess.Popen[bytes] | forks.Forked:
        """What runs, or ran last."""
        assert self.popen is not None
        return self.popen

    def kill(self) -> None:
        """It is gone, with `kill -9`; it had no say in it."""
        self.running.send_signal(signal.SIGKILL)
        self.running.wait(_EXIT_SECONDS)

    def stop(self) -> int:
        """It has drained and ended after SIGTERM; its exit status."""
        if self.popen is None:
            return 0
        self.popen.terminate()
        return self.popen.wait(_EXIT_SECONDS)

    @property
    def log(self) -> str:
        """Everything it wrote so far."""
        return self.log_path.read_text(encoding="utf-8", errors="replace")


@dataclass
class Deployment:
    """Processes that share one database, and the address customers and vendors use."""

    environment: dict[str, str]
    folder: Path
    url: str
    processes: list[Process] = field(default_factory=list)
    forked: bool = True

    def process(self, *command: str, **more: str) -> Process:
        """A process of this deployment, not started yet."""
        name = f"{len(self.processes)}-{command[0]}.log"
        process = Process(list(command), self.environment | more, self.folder / name, forked=self.forked)
        self.processes.append(process)
        return process

    def start(self) -> None:
        """Web and worker run: one process on SQLite, two on PostgreSQL."""
        alone = self.environment["DATABASE_URL"].startswith("sqlite")
        for command in [("web", "--with-worker")] if alone else [("web",), ("worker",)]:
            self.process(*command).start()

    async def key(self, mode: str) -> str:
        """A fresh API key. Made here: a command of its own would start a process for it."""
        return await asyncio.to_thread(self._make, partial(_key, mode=mode))

    async def callback_url(self) -> str:
        """The address of AIPPIM's live callbacks, as `relay callback-url aippim` prints it."""
        sealer = Sealer([self.environment["SECRET_KEYS"]])
        token = await asyncio.to_thread(self._make, partial(_callback_token, sealer=sealer))
        return f"{self.url}/callbacks/aippim/{token}"

    def _make(self, verb: Callable[[Session], str]) -> str:
        database = Database(self.environment["DATABASE_URL"])
        try:
            with database.writing() as session:
                return verb(session)
        finally:
            database.close()

    async def ready(self, url: str | None = None) -> None:
        """The web process answers. The test fails at once if a process of this deployment has ended meanwhile."""
        running = [process for process in self.processes if process.popen and process.popen.poll() is None]
        async with httpx.AsyncClient() as client:

            async def answers() -> bool:
                for process in running:
                    assert process.running.poll() is None, process.log
                try:
                    return (await client.get(f"{url or self.url}/readyz")).status_code == 200
                except httpx.TransportError:
                    return False

            await until(answers, seconds=200)


def _key(session: Session, mode: str) -> str:
    now = system_clock()
    return create(session, account_named(session, "journey", now).id, mode, now).text


def _callback_token(session: Session, sealer: Sealer) -> str:
    return address_token(session, "live", "aippim", sealer, system_clock())


@contextmanager
def deployment(database_url: str, folder: Path, **more: str) -> Iterator[Deployment]:
    """A deployment's settings on loopback; whatever was started of it has ended at the end."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": database_url,
        "SECRET_KEYS": "a made-up secret key of enough characters",
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "PUBLIC_URL": url,
        "OUTBOUND_ALLOW": "127.0.0.0/8,::1/128",
        "OUTBOUND_HTTPS_ONLY": "false",
        "MEDIA_STORE": f"file:{folder / 'media'}" if database_url.startswith("sqlite") else "database:",
        "SANDBOX_LATENCY_SECONDS": "0.3",
        "API_PER_MINUTE": "1000000",  # tests look often
        "LOG_FORMAT": "json",
        **more,
    }
    one = Deployment(environment, folder, url)
    try:
        yield one
    finally:
        for process in one.processes:
            if process.popen is not None and process.popen.poll() is None:
                process.kill()
