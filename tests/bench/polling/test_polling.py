"""`relay bench polling` gives each submission a time of its own, counts what is asked, and tells it."""

import math
from collections import Counter

import aiohttp
import pytest

from service.bench.polling import Asked, Size, SpreadTwins, plans, polling_reached, polling_report, show_polling, spread
from service.cli.operate.bench import serve
from service.sandbox.app import SandboxSettings

_NEVER = 86_400.0


def _settings() -> SandboxSettings:
    return SandboxSettings(
        secret="s" * 32, api_key="key", webhook_secret=lambda _: "w" * 32, callback_url=lambda _: None
    )


def test_the_times_are_spread_about_their_median() -> None:
    times = spread(35, 0.35, 101)
    assert times == sorted(times)
    assert times[50] == pytest.approx(35)
    assert math.log(times[84] / 35) == pytest.approx(0.35, rel=0.05)


async def test_who_asks_for_an_answer_hears_from_the_twin_that_took_the_submission() -> None:
    twins = SpreadTwins(_settings(), [0, _NEVER])
    headers = {"Authorization": "Bearer key"}
    async with (
        serve(lambda _: twins.app) as url,
        aiohttp.ClientSession(f"{url}/aippim/api/v1/", headers=headers) as at,
    ):
        form = aiohttp.FormData()
        form.add_field("file", b"sound", filename="a.ai.wav")
        music_id = (await (await at.post("music", data=form)).json())["musicId"]
        states = []
        for _ in range(2):
            submitted = await at.post("ai-detection/standard", json={"musicId": music_id})
            task_id = (await submitted.json())["task_id"]
            states.append((await (await at.get(f"task/result/{task_id}")).json())["status"])
        await twins.aclose()
    assert states == ["success", "pending"]
    assert twins.requests == Counter(upload=1, submission=2, question=2)
    quick, slow = twins.done_at.values()
    assert slow - quick > _NEVER / 2


def test_a_measured_plan_asks_later_than_most_callbacks_come() -> None:
    first = plans()
    assert first["as it comes"] == 45
    assert first["measured"] > sorted(spread(35, 0.35, 100))[94]


def test_the_report_tells_polls_and_lateness(capsys: pytest.CaptureFixture[str]) -> None:
    asked = [
        Asked(
            plan, lost, 10, submit_steps=20, confirmations=0 if lost else 10, polls=20 if lost else 1, late_seconds=[3]
        )
        for plan in plans()
        for lost in (False, True)
    ]
    report = polling_report(asked, Size(10, 5), "SQLite")
    assert [each.measured for each in polling_reached(report)] == [0.1, 2, 3]
    assert all(each.is_met for each in polling_reached(report))
    show_polling(report)
    assert "as it comes" in capsys.readouterr().out
