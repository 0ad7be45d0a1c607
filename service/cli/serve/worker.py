"""`relay worker`: the working half alone. Needs PostgreSQL."""

import asyncio
from typing import Annotated

import typer

from service.cli.preflight import ready_to_serve, wait_for_schema
from service.cli.serve.lean import settle_collector
from service.cli.serve.shutdown import end_well
from service.kit.errors import SettingsError
from service.kit.telemetry.logs import set_up_logs
from service.settings import load_settings
from service.worker import work


def command(
    wait: Annotated[
        float, typer.Option(min=0, help="Seconds to wait for a database that another process is still migrating.")
    ] = 0,
) -> None:
    """Work until SIGTERM or SIGINT. Refuse SQLite, which only one process may use."""
    settings = load_settings()
    set_up_logs(settings.log_format)
    if settings.is_sqlite:
        raise SettingsError(
            "DATABASE_URL: a worker of its own needs PostgreSQL; on SQLite run `relay web --with-worker`, alone;"
            " for example postgres://user:password@host:5432/relay"
        )
    end_well()
    wait_for_schema(settings, wait)
    ready_to_serve(settings, listens=False)
    settle_collector()
    asyncio.run(work(settings.for_process(works=True)))
