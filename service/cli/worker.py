"""`relay worker`: the working half alone. Needs PostgreSQL."""

import asyncio

from service.kit.errors import SettingsError
from service.kit.logs import set_up_logs
from service.settings import load_settings
from service.worker import work


def run_worker() -> None:
    """Works until SIGTERM or SIGINT. Refuses SQLite, which one process must have for itself."""
    settings = load_settings()
    set_up_logs(settings.log_format)
    if settings.is_sqlite:
        raise SettingsError(
            "DATABASE_URL: a worker of its own needs PostgreSQL; on SQLite run `relay web --with-worker`, alone;"
            " for example postgres://user:password@host:5432/relay"
        )
    asyncio.run(work(settings))
