"""Looks that are shared by all who want them at once, and by no one who came too late."""

import asyncio

import pytest

from service.kit.concurrency.shared_reads import SharedReads


class _Table:
    """What is looked at: a number, and how often it was asked for."""

    def __init__(self) -> None:
        self.value = 0
        self.looks = 0
        self.began = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def look(self) -> int:
        self.looks += 1
        self.began.set()
        seen = self.value
        await self.go_on.wait()
        return seen


async def test_all_who_ask_together_get_one_look() -> None:
    reads, table = SharedReads(), _Table()
    assert await asyncio.gather(*(reads.read("a", table.look) for _ in range(50))) == [0] * 50
    assert table.looks == 1


async def test_other_looks_are_not_shared() -> None:
    reads, table = SharedReads(), _Table()
    await asyncio.gather(*(reads.read(key, table.look) for key in "abc"))
    assert table.looks == 3


async def test_a_look_that_has_begun_is_not_shared_for_it_may_have_missed_something() -> None:
    reads, table = SharedReads(), _Table()
    table.go_on.clear()
    first = asyncio.create_task(reads.read("a", table.look))
    await table.began.wait()
    table.value = 1
    second = asyncio.create_task(reads.read("a", table.look))
    table.go_on.set()
    assert (await first, await second) == (0, 1)


async def test_one_that_goes_away_takes_the_look_from_no_other() -> None:
    reads, table = SharedReads(), _Table()
    table.go_on.clear()
    tasks = [asyncio.create_task(reads.read("a", table.look)) for _ in range(3)]
    await table.began.wait()
    tasks[0].cancel()
    table.go_on.set()
    assert (await asyncio.gather(*tasks, return_exceptions=True))[1:] == [0, 0]


async def test_a_failure_is_everybodys_and_the_next_look_is_fresh() -> None:
    async def fails() -> int:
        raise ValueError("no")

    reads, table = SharedReads(), _Table()
    failed = await asyncio.gather(*(reads.read("a", fails) for _ in range(3)), return_exceptions=True)
    assert [type(each) for each in failed] == [ValueError] * 3
    assert await reads.read("a", table.look) == 0
    with pytest.raises(ValueError, match="no"):
        await reads.read("a", fails)
