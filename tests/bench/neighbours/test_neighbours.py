"""`relay bench neighbours` puts endpoints that never answer beside others, and tells ratios. No time is looked at."""

import aiohttp
import pytest

from service.bench.flow import Pace
from service.bench.neighbours import (
    WAYS,
    Seen,
    Size,
    neighbours_reached,
    neighbours_report,
    show_neighbours,
    silent_server,
)


async def test_a_silent_server_takes_the_request_and_answers_nothing() -> None:
    async with silent_server() as url, aiohttp.ClientSession() as session:
        with pytest.raises(TimeoutError):
            await session.post(url, data=b"x" * 100_000, timeout=aiohttp.ClientTimeout(total=0.2, sock_connect=5))


def test_the_report_tells_the_ratios(capsys: pytest.CaptureFixture[str]) -> None:
    alone, refusing, silent = Seen(1_000, [0.01, 0.02]), Seen(900, [0.01, 0.02]), Seen(500, [0.02, 0.04])
    round_ = dict(zip(WAYS, (alone, refusing, silent), strict=True))
    report = neighbours_report([round_], Size(10, Pace(10, 1), 1, 1), "SQLite")
    assert [each.measured for each in neighbours_reached(report)] == [0.9, 0.5, 1, 2]
    assert [each.is_met for each in neighbours_reached(report)] == [True, False, True, False]
    show_neighbours(report)
    assert "half are silent" in capsys.readouterr().out
