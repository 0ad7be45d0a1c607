"""The load generator: requests one after the other from so many clients, or at a pace that waits for no answer."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

import aiohttp

from service.kit.errors import RelayError


class BenchError(RelayError):
    """The measurement cannot go on; the text says why."""


Each = Callable[[int], Awaitable[object]]
"""Makes the request of this number."""


async def from_clients(clients: int, count: int, each: Each) -> float:
    """Make `count` requests from so many clients; return the seconds it took. Raise the first failure."""
    now, numbers = asyncio.get_running_loop().time, iter(range(count))

    async def client() -> None:
        for number in numbers:
            await each(number)

    started = now()
    async with _first_failure() as group:
        for _ in range(min(clients, count)):
            group.create_task(client())
    return now() - started


async def at_pace(per_second: float, count: int, each: Each) -> None:
    """Begin `count` requests at even distances, whether or not earlier ones are answered. Raise the first failure."""
    now = asyncio.get_running_loop().time
    started = now()
    async with _first_failure() as group:
        for number in range(count):
            await asyncio.sleep(started + number / per_second - now())
            group.create_task(_made(each, number))


def timed(times: list[float], each: Each) -> Each:
    """Return the same requests, each noting the seconds it took."""
    now = asyncio.get_running_loop().time

    async def one(number: int) -> None:
        sent = now()
        await each(number)
        times.append(now() - sent)

    return one


async def post_callback(session: aiohttp.ClientSession, url: str, body: bytes, headers: Mapping[str, str]) -> None:
    """Send one callback. Raise `BenchError` unless it was taken."""
    async with session.post(url, data=body, headers=headers) as answer:
        await answer.read()
        if not answer.ok:
            raise BenchError(f"a callback was answered with {answer.status}")


async def _made(each: Each, number: int) -> None:
    await each(number)


@asynccontextmanager
async def _first_failure() -> AsyncIterator[asyncio.TaskGroup]:
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
