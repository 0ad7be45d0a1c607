"""`relay web`: the HTTP half, and the worker too if asked to. On SQLite the two are always one process."""

import asyncio
import contextlib
import fcntl
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO, Annotated

import typer
import uvicorn
from starlette.applications import Starlette

from service.app import Beside, create
from service.cli.http.serving import how_to_serve
from service.cli.preflight import ready_to_serve
from service.cli.serve.lean import settle_collector
from service.cli.serve.shutdown import closing_first, end_well
from service.kit.db.database import normalise_url
from service.kit.errors import SettingsError
from service.kit.telemetry.logs import set_up_logs
from service.resources import Resources
from service.settings import Settings, load_settings
from service.worker import working

_GRACE_SECONDS = 6  # with the drain of a worker beside it, less than 25
_WITH_WORKER = "RELAY_WITH_WORKER"  # from this process to those it starts


def command(
    with_worker: Annotated[bool, typer.Option("--with-worker", help="Also run a worker in this process.")] = False,
) -> None:
    """Serve until SIGTERM or SIGINT. Raise `SettingsError` where the settings cannot work."""
    settings = load_settings()
    set_up_logs(settings.log_format)
    host, port = settings.bind
    if settings.is_sqlite:
        if settings.web_concurrency > 1:
            raise SettingsError("WEB_CONCURRENCY: SQLite is one process; use 1, or a PostgreSQL DATABASE_URL")
        with_worker = True
    ready_to_serve(settings, listens=True)
    lock = lock_sqlite(settings)
    end_well()
    if settings.web_concurrency > 1:
        os.environ[_WITH_WORKER] = "1" if with_worker else "0"
        uvicorn.run(
            "service.cli.serve.lean:web_from_environment",
            factory=True,
            host=host,
            port=port,
            workers=settings.web_concurrency,
            timeout_graceful_shutdown=_GRACE_SECONDS,
            **how_to_serve(),
        )
    else:
        application = create(settings.for_process(works=with_worker), beside=_beside(settings, with_worker=with_worker))
        settle_collector()
        uvicorn.run(
            application,
            host=host,
            port=port,
            timeout_graceful_shutdown=_GRACE_SECONDS,
            **how_to_serve(),
        )
    del lock


def from_environment() -> Starlette:
    """Build the application in each of several processes."""
    with_worker = os.environ.get(_WITH_WORKER) == "1"
    settings = load_settings().for_process(works=with_worker)
    set_up_logs(settings.log_format)
    application = create(settings, beside=_beside(settings, with_worker=with_worker))
    settle_collector()
    return application


def _beside(settings: Settings, *, with_worker: bool) -> Beside:
    """Return what runs beside the API: a worker, or a listener for other processes' commits."""

    @contextlib.asynccontextmanager
    async def beside(resources: Resources) -> AsyncIterator[None]:
        with closing_first(resources.shutdown):
            async with working(resources) if with_worker else _hearing(settings, resources):
                yield

    return beside


@contextlib.asynccontextmanager
async def _hearing(settings: Settings, resources: Resources) -> AsyncIterator[None]:
    """Wake waiting requests of this process when another process commits, for as long as the context lasts."""
    from service.kit.db.listen import listen_or_sweep  # noqa: PLC0415 - see `kit.postgres`

    url, database = normalise_url(settings.database_listen_url or settings.database_url), resources.database
    task = asyncio.create_task(listen_or_sweep(url, database.url, database.wake, database.patience), name="listen")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def lock_sqlite(settings: Settings) -> IO[str] | None:
    """Lock the SQLite file for this process, until the returned file is closed. `None` on PostgreSQL."""
    path = normalise_url(settings.database_url).database if settings.is_sqlite else None
    if path is None or path == ":memory:":
        return None
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    lock = Path(f"{path}.lock").open("a", encoding="ascii")  # noqa: SIM115 - held for the process's life
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        sys.stderr.write(f"Another process serves {path}: SQLite is one process. Use PostgreSQL for more.\n")
        sys.exit(2)
    return lock
