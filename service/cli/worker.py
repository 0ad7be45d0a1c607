"""`relay worker`: the working half alone. Needs PostgreSQL."""

import asyncio

from service.cli.ending import end_well
from service.cli.start import ready_to_serve, wait_for_schema
from service.kit.errors import SettingsError
from service.kit.process.garbage import settle_collector
from service.kit.telemetry.logs import set_up_logs
from service.settings import load_settings
from service.worker import work


def run_worker(*, wait_seconds: float = 0) -> None:
    """Work until SIGTERM or SIGINT. Refuse SQLite, which one process must have for itself.

    `wait_seconds` are for a database that another process is about to migrate.
    """
    settings = load_settings()
    set_up_logs(settings.log_format)
    if settings.is_sqlite:
        raise SettingsError(
            "DATABASE_URL: a worker of its own needs PostgreSQL; on SQLite run `relay web --with-worker`, alone;"
            " for example postgres://user:password@host:5432/relay"
        )
    end_well()
    wait_for_schema(settings, wait_seconds)
    ready_to_serve(settings, listens=False)
    settle_collector()
    asyncio.run(work(settings.for_process(works=True)))
