"""A version of the product, started as an operator would start it, and measured from outside."""

import asyncio
import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import psycopg
from psycopg import sql
from sqlalchemy.engine import URL

from service.bench.driving.cpu import cpu_ms, database_cpu_ms
from service.bench.driving.generator import BenchError
from service.bench.driving.vendor import VENDOR, Secrets
from service.kit.db.database import normalise_url
from service.kit.schema.migrate import upgrade

OPEN_GATE = 1_000_000
_PASSED_ON = ("PATH", "LANG", "LD_LIBRARY_PATH", "TMPDIR")  # settings of this shell must not change what is measured
_START_SECONDS, _EXIT_SECONDS, _LOOK_SECONDS = 60.0, 40.0, 0.05


@dataclass(frozen=True, slots=True)
class Version:
    """A version of the product: its name in the report, the Python that has its libraries, the folder it lies in."""

    name: str
    python: str = sys.executable
    folder: Path | None = None


@dataclass
class Deployment:
    """Processes of one version that share a database."""

    version: Version
    environment: Mapping[str, str]
    folder: Path
    url: str
    database: URL
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, *, together: bool = False) -> None:
        """Start web and worker: one process on SQLite, two on PostgreSQL unless `together`."""
        if together or self.database.drivername == "sqlite":
            self._start("web with worker", "web", "--with-worker")
        else:
            self._start("web", "web")
            self._start("worker", "worker")

    async def ready(self) -> None:
        """Wait until the web process answers. Raise `BenchError` where it does not in time, or a process ended."""
        now = asyncio.get_running_loop().time
        end = now() + _START_SECONDS
        async with aiohttp.ClientSession() as session:
            while not await self._answers(session):
                self.must_run()
                if now() > end:
                    raise BenchError(f"{self.version.name}: no answer within {_START_SECONDS:.0f} s of its start")
                await asyncio.sleep(_LOOK_SECONDS)

    def cpu_ms(self) -> dict[str, float]:
        """Return what each process used so far, and the database where it can be seen."""
        used = {name: cpu_ms(process.pid) for name, process in self.running.items()}
        if self.database.drivername != "sqlite":
            used["database"] = database_cpu_ms(self.database)
        return {name: spent for name, spent in used.items() if spent is not None}

    def migrate(self) -> None:
        """Bring the database to the version's schema; that of this version needs no process of its own."""
        if self.version.folder is None:
            upgrade(self.environment["DATABASE_URL"])
        else:
            self.run("migrate")

    def run(self, *command: str) -> str:
        """Return what a command that ends printed."""
        done = subprocess.run(  # noqa: S603 - our own command
            [self.version.python, "-m", "service", *command],
            env=dict(self.environment),
            cwd=self.version.folder,
            check=False,
            capture_output=True,
            text=True,
            timeout=_START_SECONDS,
        )
        if done.returncode:
            raise BenchError(f"{self.version.name}: relay {' '.join(command)} failed: {done.stderr.strip()}")
        return done.stdout

    def key(self) -> str:
        """Return a fresh live key."""
        made = self.run("keys", "create", "--account", "bench", "--mode", "live", "--json")
        return str(json.loads(made)["key"])

    def stop(self) -> None:
        """End what was started, by its id."""
        for process in self.running.values():
            process.terminate()
        for process in self.running.values():
            try:
                process.wait(_EXIT_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _start(self, name: str, *command: str) -> None:
        with (self.folder / f"{command[0]}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(  # noqa: S603 - our own command
                [self.version.python, "-m", "service", *command],
                env=dict(self.environment),
                cwd=self.version.folder,
                stdout=log,
                stderr=log,
            )

    async def _answers(self, session: aiohttp.ClientSession) -> bool:
        try:
            async with session.get(f"{self.url}/readyz") as answer:
                return answer.ok
        except aiohttp.ClientError:
            return False

    def must_run(self) -> None:
        """Raise `BenchError` if a process has ended."""
        for name, process in self.running.items():
            if process.poll() is not None:
                raise BenchError(f"{self.version.name}: {name} ended with status {process.returncode}")


@contextlib.contextmanager
def fresh_database(server: str | None, folder: Path) -> Iterator[str]:
    """Give the address of an empty database: a file in `folder`, or one made on this PostgreSQL and dropped again."""
    if server is None:
        yield f"sqlite:///{folder / 'relay.db'}"
        return
    url, name = normalise_url(server).set(drivername="postgresql"), f"relay_bench_{secrets.token_hex(6)}"
    address = url.render_as_string(hide_password=False)
    _administer(address, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        yield url.set(database=name).render_as_string(hide_password=False)
    finally:
        _administer(address, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@contextlib.asynccontextmanager
async def deployed(
    version: Version,
    database_url: str,
    folder: Path,
    twins_url: str,
    shared: Secrets,
    prepare: Callable[[Deployment], None] = lambda _: None,
    changed: Mapping[str, str] | None = None,
    *,
    together: bool = False,
) -> AsyncIterator[Deployment]:
    """Run this version on an empty database; `shared` is what the vendors' twins know too.

    `prepare` is called once the schema is there, before any process runs. When they answer is the caller's to wait for.
    `changed` are settings that are other ones here. `together` means one process on PostgreSQL too.
    """
    url = f"http://127.0.0.1:{free_port()}"
    vendor = {
        "BASE_URL": f"{twins_url}/{VENDOR}",
        "CALLBACK_TRUST": "payload",
        "PER_MINUTE": str(OPEN_GATE),
        "API_KEY": shared.api_key,
        "WEBHOOK_SECRETS": shared.webhook_secret,
    }
    environment = {
        **{name: os.environ[name] for name in _PASSED_ON if name in os.environ},
        "DATABASE_URL": database_url,
        "SECRET_KEYS": secrets.token_hex(32),
        "HOST": "127.0.0.1",
        "PORT": url.rpartition(":")[2],
        "PUBLIC_URL": url,
        "OUTBOUND_ALLOW": "127.0.0.0/8,::1/128",
        "OUTBOUND_HTTPS_ONLY": "false",
        "MEDIA_STORE": f"file:{folder / 'media'}" if database_url.startswith("sqlite") else "database:",
        "API_PER_MINUTE": str(OPEN_GATE),
        **{f"{VENDOR.upper()}_{name}": value for name, value in vendor.items()},
        **(changed or {}),
    }
    one = Deployment(version, environment, folder, url, normalise_url(database_url))
    await _to_its_end(one.migrate)
    await _to_its_end(lambda: prepare(one))
    try:
        one.start(together=together)
        yield one
    finally:
        await asyncio.to_thread(one.stop)


async def _to_its_end(verb: Callable[[], object]) -> None:
    """Call `verb` in a thread; where this is cancelled, wait for it all the same: it writes into a folder that goes."""
    work = asyncio.create_task(asyncio.to_thread(verb))
    try:
        await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])
        raise


def _administer(address: str, statement: sql.Composed) -> None:
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(statement)


def free_port() -> int:
    """Return a port on loopback at which nothing listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
