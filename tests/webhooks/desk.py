"""A deliverer on a test's database, with a clock that stands still, and a customer behind a real socket."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import ip_network

import aiohttp

from service.events.outbox import Outbox
from service.events.types import Draft
from service.kit.db.database import Database
from service.kit.db.group_commit import GroupCommit
from service.kit.http.guard import GuardPolicy
from service.kit.http.guarded import guarded_session
from service.kit.security.sealing import Sealer
from service.webhooks.fanout import fan_out
from service.webhooks.queue.record import turns
from service.webhooks.sending.deliver import Deliverer, DeliveryPolicy
from service.webhooks.sending.retry import RetryPolicy
from tests.loopback import Peer, answer, peer, read_request
from tests.webhooks.rows import NOW, SEALER

LOOPBACK = GuardPolicy(allow=(ip_network("127.0.0.0/8"),), https_only=False)
RETRY = RetryPolicy((0, 5, 300), 60)


@dataclass
class StillClock:
    """Says `now` until it is set on."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass
class Customer:
    """What a customer got, byte for byte, and how it answers: `answers(n)` for its n-th request, from 1.

    Its address cannot be guessed. The system gives ports away again, and processes of other tests may still ask for
    whoever had this one before: such strangers get 404, and are no part of what it got.
    """

    peer: Peer
    answers: Callable[[int], bytes]
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    open: asyncio.Event = field(default_factory=asyncio.Event)
    path: str = field(default_factory=lambda: f"/in/{secrets.token_hex(8)}")
    strangers: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            line, headers, body = await read_request(reader)
            if line != f"POST {self.path} HTTP/1.1":
                self.strangers.append(line)
                writer.write(answer(b"", status="404 Not Found"))
                continue
            self.got.append((headers, body))
            said = self.answers(len(self.got))
            await self.open.wait()
            writer.write(said)
            await writer.drain()

    @property
    def url(self) -> str:
        return f"{self.peer.url}{self.path}"

    @property
    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.got]


@asynccontextmanager
async def customer(
    answers: Callable[[int], bytes] = lambda _: answer(b""), *, slow: bool = False
) -> AsyncIterator[Customer]:
    """A customer that listens; a slow one answers nobody until it is set `open`."""
    made: list[Customer] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await made[0].serve(reader, writer)

    async with peer(script) as listening:
        made.append(Customer(listening, answers))
        if not slow:
            made[0].open.set()
        yield made[0]
        made[0].open.set()


@dataclass
class Desk:
    """A process that delivers."""

    database: Database
    deliverer: Deliverer
    outbox: Outbox
    clock: StillClock
    kicks: list[datetime]

    async def tell(self, *drafts: Draft) -> list[str]:
        """The events' ids: facts written in this process, which has a deliverer to hand them to."""
        return [each.id for each in await self.database.write(self.outbox.record, drafts, self.clock())]

    async def work(self) -> None:
        """All that is due now has been claimed, and what was started has ended."""
        while await self.deliverer.step():
            pass
        await self.idle()

    async def idle(self) -> None:
        """Nothing is under way."""
        async with asyncio.timeout(10):
            while under_way := set(self.deliverer._under_way):
                await asyncio.wait(under_way)


@asynccontextmanager
async def desk(
    database: Database,
    *,
    clock: StillClock | None = None,
    sealer: Sealer = SEALER,
    local_deliverer: bool = False,
    capacity: int = 256,
    per_endpoint: int = 32,
    timeout_seconds: float = 5,
) -> AsyncIterator[Desk]:
    """An open desk. With `hand_off` it takes what is told at it; without, all is left to the claim."""
    made: list[Desk] = []
    clock = clock or StillClock()
    outbox = Outbox([fan_out(lambda: made[0].deliverer if local_deliverer else None)])
    kicks: list[datetime] = []
    async with session_on(LOOPBACK, timeout_seconds) as session:
        deliverer = Deliverer(
            database,
            session,
            GroupCommit(database, turns(outbox)),
            sealer,
            DeliveryPolicy(RETRY, timeout_seconds, capacity=capacity, per_endpoint=per_endpoint),
            clock=clock,
            random=lambda: 0.0,
            kick=lambda: kicks.append(clock()),
        )
        made.append(Desk(database, deliverer, outbox, clock, kicks))
        yield made[0]
        await deliverer.drain(0)


@asynccontextmanager
async def session_on(
    policy: GuardPolicy, timeout_seconds: float = 5, resolver: aiohttp.abc.AbstractResolver | None = None
) -> AsyncIterator[aiohttp.ClientSession]:
    """A session such as the service opens for webhooks."""
    session = guarded_session(
        policy,
        total_seconds=timeout_seconds,
        connect_seconds=2,
        limit=0,
        resolver=resolver,
        watch_redirects=False,
    )
    async with session:
        yield session
