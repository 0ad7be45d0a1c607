"""`relay bench ingest` sends what the product takes, and tells ratios. No time is looked at, only that it is told."""

import json
from itertools import count

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.bench.driving.bare import bare_application
from service.bench.driving.generator import BenchError
from service.bench.ingest import BODY_BYTES, Round, Size, ingest_reached, ingest_report, send_callbacks, show_ingest
from service.cli.operate.bench import serve
from service.detectors.enums import Authenticity
from service.kit.system_clock import system_clock
from tests.vendors.aippim_answers import adapter

_SECRET = "a made-up webhook secret"


async def test_what_is_sent_is_signed_and_of_the_size_that_is_told() -> None:
    seen: list[tuple[bytes, Authenticity | None]] = []

    async def take(request: Request) -> Response:
        body = await request.body()
        seen.append((body, adapter().verify(request.headers, json.loads(body), [_SECRET], system_clock())))
        return Response(status_code=200)

    async with serve(lambda _: Starlette(routes=[Route("/", take, methods=["POST"])])) as url:
        await send_callbacks(url, _SECRET, 3, lambda: None)
    assert len({body for body, _ in seen}) == 3
    assert {(len(body), verified) for body, verified in seen} == {(BODY_BYTES, Authenticity.PARTIAL_HMAC)}


async def test_a_callback_that_is_not_taken_ends_the_measurement() -> None:
    async with serve(lambda _: Starlette()) as url:
        with pytest.raises(BenchError, match="404"):
            await send_callbacks(url, _SECRET, 3, lambda: None)


async def test_the_report_tells_the_ratios(capsys: pytest.CaptureFixture[str]) -> None:
    used = count(step=20)
    async with serve(lambda _: bare_application()) as url:
        taken = await send_callbacks(url, _SECRET, 80, lambda: next(used))
    assert (len(taken.seconds), taken.cpu_us) == (80, 250)
    report = ingest_report([Round("one", taken, taken)], Size(callbacks=80, bare=80, rounds=1), "SQLite")
    assert (report["ingest"]["one"]["rate_ratio"], report["ingest"]["one"]["cpu_ratio"]) == (1, 1)
    assert [each.is_met for each in ingest_reached(report)] == [True]
    show_ingest(report)
    assert "ratio" in capsys.readouterr().out
