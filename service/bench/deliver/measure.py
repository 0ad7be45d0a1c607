"""Webhooks out of a backlog, beside the limit: the bare client with the same bytes at the same receiver."""

import time
from dataclasses import dataclass

import aiohttp

from service.bench.driving.backlog import BODY_BYTES, Sent, carry_backlog
from service.bench.driving.bare import running_bare
from service.bench.driving.generator import from_clients

AT_ONCE = 200
ENDPOINTS = 40
_HEADERS_BYTES = 200  # what a signature and its companions take


@dataclass(frozen=True, slots=True)
class Size:
    """How many events go to each of the endpoints, and how many rounds there are."""

    events: int
    rounds: int

    @property
    def deliveries(self) -> int:
        """Deliveries of a round."""
        return self.events * ENDPOINTS


FULL = Size(events=200, rounds=3)
QUICK = Size(events=30, rounds=1)


@dataclass(frozen=True, slots=True)
class Round:
    """The product and the bare client, one right after the other."""

    product: Sent
    bare: Sent


async def measure_deliver(server: str | None, size: Size) -> list[Round]:
    """Carry a backlog that is there when the worker starts; then post as many with nothing but the client."""
    async with running_bare() as (receiver, _):
        endpoints = [f"{receiver}{number}" for number in range(ENDPOINTS)]
        return [
            Round(await carry_backlog(server, endpoints, size.events), await post_bare(receiver, size.deliveries))
            for _ in range(size.rounds)
        ]


async def post_bare(receiver: str, count: int) -> Sent:
    """Post so many bodies with the bare client, 200 at once."""
    body = b"x" * BODY_BYTES
    headers = {"content-type": "application/json", "webhook-signature": "x" * _HEADERS_BYTES}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def post(number: int) -> None:
            async with session.post(f"{receiver}{number % ENDPOINTS}", data=body, headers=headers) as answer:
                await answer.read()

        used = time.process_time()
        took, spent = await from_clients(AT_ONCE, count, post), time.process_time() - used
    return Sent(count / took, {"client": spent * 1e6 / count})
