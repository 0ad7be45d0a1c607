"""Look-ups of customers' names: a deadline, a share for each account, and a memory for what failed."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest

from service.kit.http.resolver import FAILURE_SECONDS, PER_ACCOUNT, NameResolver, on_behalf_of
from tests.hanging_names import Lookups, hanging_names
from tests.waiting import until

_SECONDS = 0.2


@dataclass
class Turned:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def lookups() -> Iterator[Lookups]:
    with hanging_names() as found:
        yield found


@pytest.fixture
def clock() -> Turned:
    return Turned()


@pytest.fixture
async def names(clock: Turned, lookups: Lookups) -> AsyncIterator[NameResolver]:
    made = NameResolver(seconds=_SECONDS, monotonic=clock)
    yield made
    lookups.answered.set()
    await made.close()


async def _failure(names: NameResolver, host: str, account_id: str = "acc_1") -> int | None:
    with on_behalf_of(account_id), pytest.raises(OSError) as caught:  # noqa: PT011 - its errno is told
        await names.resolve(host, 443)
    return caught.value.errno


async def test_an_answer_names_every_address_and_the_port_asked_for(names: NameResolver, lookups: Lookups) -> None:
    for port in (443, 8443):
        assert {(each["host"], each["port"]) for each in await names.resolve("a.home.example", port)} == {
            ("127.0.0.1", port)
        }
    assert lookups.asked == ["a.home.example"]


async def test_an_answer_is_asked_for_again_after_a_while(names: NameResolver, lookups: Lookups, clock: Turned) -> None:
    await names.resolve("a.home.example")
    clock.now += 11
    await names.resolve("a.home.example")
    assert len(lookups.asked) == 2


async def test_no_answer_in_time_is_what_the_system_calls_a_temporary_failure(names: NameResolver) -> None:
    async with asyncio.timeout(_SECONDS + 1):
        assert await _failure(names, "n.silent.example") == socket.EAI_AGAIN


async def test_an_account_holds_two_threads_and_another_is_served_meanwhile(
    names: NameResolver, lookups: Lookups
) -> None:
    crowd = asyncio.gather(*(_failure(names, f"n{n}.silent.example") for n in range(24)))
    await until(lambda: lookups.hanging == PER_ACCOUNT)
    with on_behalf_of("acc_2"):
        assert await names.resolve("a.home.example")
    assert set(await crowd) == {socket.EAI_AGAIN}
    assert lookups.hanging == PER_ACCOUNT


async def test_a_name_that_still_hangs_is_not_asked_for_again(
    names: NameResolver, lookups: Lookups, clock: Turned
) -> None:
    await _failure(names, "n.silent.example")
    clock.now += 1000
    async with asyncio.timeout(_SECONDS / 2):
        assert await _failure(names, "n.silent.example") == socket.EAI_AGAIN
    assert lookups.asked == ["n.silent.example"]


async def test_a_failure_is_remembered_for_a_while_and_for_this_account_alone(
    names: NameResolver, lookups: Lookups, clock: Turned
) -> None:
    lookups.answered.set()
    for _ in range(3):
        await _failure(names, "n.silent.example")
    assert len(lookups.asked) == 1
    await _failure(names, "n.silent.example", "acc_2")
    assert len(lookups.asked) == 2
    clock.now += FAILURE_SECONDS + 1
    await _failure(names, "n.silent.example")
    assert len(lookups.asked) == 3


async def test_many_who_ask_at_once_for_one_name_cost_one_look_up(names: NameResolver, lookups: Lookups) -> None:
    await asyncio.gather(*(names.resolve("a.home.example", n) for n in range(20)))
    assert lookups.asked == ["a.home.example"]


async def test_to_have_found_no_place_is_not_remembered_as_the_names_fault(
    names: NameResolver, lookups: Lookups
) -> None:
    crowd = asyncio.gather(*(_failure(names, f"n{n}.silent.example") for n in range(PER_ACCOUNT)))
    await until(lambda: lookups.hanging == PER_ACCOUNT)
    assert await _failure(names, "a.home.example") == socket.EAI_AGAIN
    lookups.answered.set()
    await crowd
    await until(lambda: not lookups.hanging)
    with on_behalf_of("acc_1"):
        assert await names.resolve("a.home.example")


async def test_what_is_kept_of_an_account_goes_with_its_last_look_up(names: NameResolver, lookups: Lookups) -> None:
    lookups.answered.set()
    await asyncio.gather(*(_failure(names, "n.silent.example", f"acc_{n}") for n in range(50)))
    assert (names._lanes, names._under_way) == ({}, {})
