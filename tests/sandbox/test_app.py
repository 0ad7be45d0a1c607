import asyncio
from collections.abc import Sequence

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from service.kit.clock import seconds
from service.kit.system_clock import system_clock
from service.sandbox.app import create
from service.sandbox.outgoing import Callbacks, Outgoing, PlannedCallback
from tests.sandbox.serving import SETTINGS, client_of, serving


@pytest.mark.parametrize(("path", "passes"), [("/echo", True), ("/liar", False), ("/text", False), ("/no", False)])
def test_only_an_address_that_echoes_the_challenge_is_registered(inbox_url: str, path: str, passes: bool) -> None:
    assert asyncio.run(_registers(inbox_url + path)) is passes


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/echo", "nowhere", ""])
def test_an_address_nobody_answers_at_is_not_registered(url: str) -> None:
    assert asyncio.run(_registers(url)) is False


async def _registers(url: str) -> bool:
    sandbox = create(SETTINGS)
    try:
        return await sandbox.register_callback(url)
    finally:
        await sandbox.aclose()


def test_closing_drops_callbacks_still_owed() -> None:
    written: list[bool] = []

    def write() -> Sequence[PlannedCallback]:
        written.append(True)
        return ()

    async def run() -> None:
        callbacks = Callbacks(Outgoing(), system_clock, retry_seconds=0)
        callbacks.plan(system_clock() + seconds(3600), write)
        await callbacks.aclose()
        assert not callbacks._tasks

    asyncio.run(run())
    assert not written


def test_nothing_leaves_after_closing(inbox_url: str) -> None:
    async def run() -> bool:
        sandbox = create(SETTINGS)
        await sandbox.aclose()
        return await sandbox.register_callback(f"{inbox_url}/echo")

    assert asyncio.run(run()) is False


def test_twins_answer_under_a_mount(inbox_url: str) -> None:
    sandbox = create(SETTINGS)
    outer = Starlette(routes=[Mount("/sandbox", app=sandbox.app)])
    with serving(outer, sandbox.aclose) as base, client_of(f"{base}/sandbox") as client:
        assert client.get("/asc/v1?action=status").status_code == 200
        assert client.get("/aippim/api/v1/task/result/task_1_2").status_code == 404
        answer = client.post("/asc/v1?action=analyze-url", json={"url": f"{inbox_url}/audio/a.mp3"})
        assert answer.status_code == 202


def test_settings_do_not_print_their_secrets() -> None:
    printed = repr(SETTINGS)
    for secret in (SETTINGS.secret, SETTINGS.api_key):
        assert secret not in printed
