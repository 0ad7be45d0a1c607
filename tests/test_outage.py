"""A worker whose database is away for a while: what it logs, and that its loops go on."""

import asyncio
from pathlib import Path

from structlog.testing import capture_logs

from service.resources import open_resources
from service.settings import load_settings
from service.worker import LOOPS_FAILED, working
from tests.api.troubles import down
from tests.waiting import until


async def test_an_outage_is_logged_once_a_loop_and_its_end_too(database_url: str, tmp_path: Path) -> None:
    settings = load_settings(
        database_url=database_url,
        media_store=f"file:{tmp_path / 'media'}",
        secret_keys=("a made-up secret key of enough characters",),
    )
    async with open_resources(settings) as resources, working(resources):
        with capture_logs() as lines:
            before = sum(LOOPS_FAILED.series().values())
            with down(resources.database):
                await until(lambda: sum(LOOPS_FAILED.series().values()) - before >= 25)
            failed = {line["loop"] for line in lines if line["event"] == "loop.failed"}
            assert len(failed) > 5
            assert sum("exc_info" in line for line in lines) == len(failed)
            await until(lambda: failed == {line["loop"] for line in lines if line["event"] == "loop.recovered"})
        await asyncio.sleep(0)
