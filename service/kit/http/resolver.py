"""Look-ups of names that customers chose: on threads of their own, within a deadline, and in equal shares.

The system's look-up cannot be cancelled: a thread that asks a silent name server is busy until the system gives up,
long after our deadline. So these look-ups never use the event loop's threads, on which vendors' names are looked up,
and an account uses at most two threads at once. `on_behalf_of`, around the request, names the account.
"""

import asyncio
import contextlib
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field

from aiohttp.abc import AbstractResolver, ResolveResult

LOOK_UP_SECONDS = 5.0
PER_ACCOUNT = 2
MOST_AT_ONCE = 64
FAILURE_SECONDS = 30.0
ANSWER_SECONDS = 10.0
_MOST_REMEMBERED = 2_000

_asking: ContextVar[str] = ContextVar("asking", default="")

_Key = tuple[str, str, int]  # account, host, family


class on_behalf_of:  # noqa: N801 - used as a function is; as a generator it costs three times as much
    """Count the names that are looked up inside against this account."""

    __slots__ = ("_account_id", "_token")

    def __init__(self, account_id: str) -> None:
        self._account_id = account_id

    def __enter__(self) -> None:
        self._token = _asking.set(self._account_id)

    def __exit__(self, *_: object) -> None:
        _asking.reset(self._token)


@dataclass(frozen=True, slots=True)
class _Found:
    """The result of a look-up: addresses as (family, protocol, address), or the error."""

    addresses: tuple[tuple[int, int, str], ...] = ()
    error: Exception | None = None


@dataclass(slots=True)
class _Lane:
    """The threads of one account. `users` counts the look-ups that have a thread or wait for one."""

    places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(PER_ACCOUNT))
    users: int = 0


class NameResolver(AbstractResolver):
    """A resolver for customers' names. The guard judges what it finds."""

    def __init__(self, *, seconds: float = LOOK_UP_SECONDS, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._monotonic = monotonic
        self._places = asyncio.Semaphore(MOST_AT_ONCE)
        self._lanes: dict[str, _Lane] = {}
        self._under_way: dict[_Key, tuple[asyncio.Task[_Found], float]] = {}  # with its deadline, by the loop's clock
        self._known: OrderedDict[_Key, tuple[_Found, float]] = OrderedDict()  # with its end; the oldest first

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of `host`. Raise `OSError` by the deadline at the latest: `EAI_AGAIN` without an answer.

        A failure is remembered, and so is a thread that still hangs after its deadline: to ask again costs no thread.
        """
        key = (_asking.get(), host, int(family))
        found, until = self._known.get(key, (None, 0.0))
        if found is None or self._monotonic() >= until:
            task, deadline = self._under_way.get(key) or self._begin(key)
            try:
                async with asyncio.timeout_at(deadline):
                    found = await asyncio.shield(task)
            except TimeoutError:
                found = _no_answer()
        if found.error is not None:
            raise found.error.with_traceback(None)
        return [_result(host, port, each) for each in found.addresses]

    async def close(self) -> None:
        """Cancel every look-up. A thread that hangs ends by itself, or with the process."""
        tasks = [task for task, _ in self._under_way.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, key: _Key) -> tuple[asyncio.Task[_Found], float]:
        deadline = asyncio.get_running_loop().time() + self._seconds
        task = asyncio.create_task(self._look_up(key, deadline))
        self._under_way[key] = (task, deadline)
        task.add_done_callback(lambda _: self._under_way.pop(key, None))
        return task, deadline

    async def _look_up(self, key: _Key, deadline: float) -> _Found:
        """Look a name up once account and process have a thread free. Waiting in vain is not the name's failure."""
        account_id, host, family = key
        lane = self._lanes.setdefault(account_id, _Lane())
        lane.users += 1
        try:
            async with contextlib.AsyncExitStack() as places:
                try:
                    async with asyncio.timeout_at(deadline):
                        await places.enter_async_context(lane.places)
                        await places.enter_async_context(self._places)
                except TimeoutError:
                    return _no_answer()
                found = await _in_a_thread(host, family)
        finally:
            lane.users -= 1
            if not lane.users:
                del self._lanes[account_id]
        self._remember(key, found)
        return found

    def _remember(self, key: _Key, found: _Found) -> None:
        kept = ANSWER_SECONDS if found.error is None else FAILURE_SECONDS
        self._known.pop(key, None)
        self._known[key] = (found, self._monotonic() + kept)
        while len(self._known) > _MOST_REMEMBERED:
            self._known.popitem(last=False)


def _no_answer() -> _Found:
    return _Found(error=socket.gaierror(socket.EAI_AGAIN, "the name server gave no answer in time"))


async def _in_a_thread(host: str, family: int) -> _Found:
    """Ask the system, in a daemon thread, which never keeps the process from ending."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[_Found] = loop.create_future()

    def tell(found: _Found) -> None:
        if not answer.done():
            answer.set_result(found)

    def work() -> None:
        found = _found(host, family)
        with contextlib.suppress(RuntimeError):  # the loop has closed meanwhile
            loop.call_soon_threadsafe(tell, found)

    threading.Thread(target=work, name="names", daemon=True).start()
    return await answer


def _found(host: str, family: int) -> _Found:
    try:
        rows = socket.getaddrinfo(host, None, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    except (OSError, UnicodeError) as error:
        return _Found(error=error)
    return _Found(tuple((kind, protocol, _spelled(address)) for kind, _, protocol, _, address in rows))


def _spelled(address: tuple[object, ...]) -> str:
    """Return the address as text, with its zone id if it has one: the guard refuses that."""
    host, *rest = address
    zone = rest[2] if len(rest) > 2 else 0  # noqa: PLR2004 - host, port, flow, zone
    return f"{host}%{zone}" if zone and "%" not in str(host) else str(host)


def _result(host: str, port: int, found: tuple[int, int, str]) -> ResolveResult:
    kind, protocol, address = found
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    return ResolveResult(hostname=host, host=address, port=port, family=kind, proto=protocol, flags=flags)
