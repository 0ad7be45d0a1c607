"""The load generator makes each request once, and waits for answers only where it should."""

import asyncio

import pytest

from service.bench.driving.generator import BenchError, at_pace, from_clients, timed


async def test_no_more_are_under_way_than_there_are_clients() -> None:
    begun, under_way, most = list[int](), 0, 0

    async def each(number: int) -> None:
        nonlocal under_way, most
        begun.append(number)
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1

    await from_clients(3, 10, each)
    assert (begun, most) == (list(range(10)), 3)


async def test_a_pace_waits_for_no_answer() -> None:
    begun, may_end = 0, asyncio.Event()

    async def each(_: int) -> None:
        nonlocal begun
        begun += 1
        if begun == 5:
            may_end.set()
        await may_end.wait()

    times = list[float]()
    await at_pace(1_000_000, 5, timed(times, each))
    assert (begun, len(times)) == (5, 5)


@pytest.mark.parametrize("paced", [True, False])
async def test_the_first_failure_ends_it(paced: bool) -> None:
    async def fail(_: int) -> None:
        raise BenchError("refused")

    with pytest.raises(BenchError, match="refused"):
        await (at_pace(1_000_000, 5, fail) if paced else from_clients(2, 5, fail))
