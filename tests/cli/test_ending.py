"""How a web process ends: streams hear of it before the server waits for them."""

import asyncio
import os
import signal
from pathlib import Path

import httpx
import pytest

from service.api.routes import ROUTES
from service.cli.http.serving import free_socket, serving, url_of
from service.cli.serve.shutdown import closing_first
from service.kit.concurrency.wake import Shutdown, Wake
from service.kit.db.database import Database
from tests.api.doors import app_of, bearer, context_on
from tests.api.listening import listening
from tests.waiting import until


async def test_a_signal_begins_the_closing_and_does_what_it_did_before() -> None:
    shutdown, heard = Shutdown(Wake()), list[int]()
    before = signal.signal(signal.SIGTERM, lambda number, _frame: heard.append(number))
    try:
        ours = signal.getsignal(signal.SIGTERM)
        with closing_first(shutdown):
            os.kill(os.getpid(), signal.SIGTERM)
            await until(lambda: shutdown.begun)
        assert heard == [signal.SIGTERM]
        assert signal.getsignal(signal.SIGTERM) is ours
    finally:
        signal.signal(signal.SIGTERM, before)


async def test_a_served_application_ends_its_streams_at_once(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    database.wake.attach()
    app, bound = app_of(ROUTES, context_on(database, tmp_path)), free_socket()
    async with httpx.AsyncClient(base_url=url_of(bound), timeout=20) as client:
        async with serving(app, bound):
            stream = listening(client, "/v1/events/stream", bearer(database))
            reader = await stream.__aenter__()
            await until(lambda: reader.blocks)
        await asyncio.wait_for(reader.ended.wait(), 1)  # ended cleanly, not cut
        await stream.__aexit__(None, None, None)
    assert "timeout graceful shutdown exceeded" not in caplog.text
