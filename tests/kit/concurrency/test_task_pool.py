"""Breaking off requests, and only requests, when a process ends."""

import asyncio

import pytest

from service.kit.concurrency.task_pool import ShutdownInterrupt, TaskPool


async def _for_ever() -> str:
    await asyncio.Event().wait()
    return "never"


async def _soon() -> str:
    await asyncio.sleep(0)
    return "said"


async def test_a_talk_brings_what_was_said() -> None:
    assert await TaskPool().run(_soon()) == "said"


async def test_a_cut_ends_what_is_under_way_and_begins_nothing_new() -> None:
    pool = TaskPool()
    talking = asyncio.create_task(pool.run(_for_ever()))
    await asyncio.sleep(0)
    pool.interrupt()
    with pytest.raises(ShutdownInterrupt):
        await talking
    with pytest.raises(ShutdownInterrupt):
        await pool.run(_soon())


async def test_a_talk_whose_owner_is_cancelled_is_cancelled_too_and_not_cut() -> None:
    ended = asyncio.Event()

    async def watched() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    owner = asyncio.create_task(TaskPool().run(watched()))
    await asyncio.sleep(0.01)
    owner.cancel()
    with pytest.raises(asyncio.CancelledError):
        await owner
    assert ended.is_set()


async def test_a_drain_lets_requests_finish_in_time_and_the_cut_ones_write_down_what_that_means() -> None:
    pool, tasks, written = TaskPool(), set[asyncio.Task[None]](), list[str]()
    answered = asyncio.Event()

    async def quick() -> str:
        await answered.wait()
        return "quick"

    async def work(name: str, request: object) -> None:
        try:
            written.append(await pool.run(request))  # type: ignore[arg-type]  # both are coroutines
        except ShutdownInterrupt:
            await asyncio.sleep(0.01)
            written.append(f"{name} was cut")

    for name, request in (("one", quick()), ("two", _for_ever())):
        task = asyncio.create_task(work(name, request))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    draining = asyncio.create_task(pool.drain(tasks, 0.2))
    await asyncio.sleep(0)
    assert pool.closed
    answered.set()
    await draining
    assert written == ["quick", "two was cut"]
    assert not tasks
