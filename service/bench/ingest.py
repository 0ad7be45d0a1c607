"""Callbacks taken in durably, beside the limit: the same requests at a bare route on the same server."""

import asyncio
import json
import secrets
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from service.bench.bare import running_bare
from service.bench.cpu import cpu_ms
from service.bench.load import VENDOR, BenchError
from service.bench.processes import Deployment, Version, deployed, fresh_database
from service.kit.system_clock import system_clock
from service.sandbox.aippim_answers import signed_headers

AT_ONCE = 64
BODY_BYTES = 3_000
_NOBODY = "http://127.0.0.1:9"  # no vendor is asked here


@dataclass(frozen=True, slots=True)
class Size:
    """How many callbacks a round sends to each, and how many rounds there are."""

    callbacks: int
    bare: int
    rounds: int


FULL = Size(callbacks=3_000, bare=12_000, rounds=3)
QUICK = Size(callbacks=400, bare=2_000, rounds=1)


@dataclass(frozen=True, slots=True)
class Taken:
    """One round at one server: requests a second, their times in seconds, and the server's CPU a request."""

    rate: float
    seconds: Sequence[float]
    cpu_us: float | None


@dataclass(frozen=True, slots=True)
class Round:
    """The product and the bare route, one right after the other."""

    product: Taken
    bare: Taken


async def measure_ingest(server: str | None, size: Size) -> list[Round]:
    """Send signed callbacks of unknown jobs: each is verified, stored and committed, and then answered."""
    secret = secrets.token_hex(16)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="relay-bench-")))
        database_url = stack.enter_context(fresh_database(server, folder))
        shared = {"api_key": secrets.token_hex(16), "webhook_secret": secret}
        one = await stack.enter_async_context(deployed(Version("this version"), database_url, folder, _NOBODY, shared))
        address, _ = await asyncio.gather(asyncio.to_thread(one.run, "callback-url", VENDOR), one.ready())
        bare_url, bare = await stack.enter_async_context(running_bare())
        rounds = []
        for _ in range(size.rounds):
            product = await send_callbacks(address.strip(), secret, size.callbacks, lambda: _web_cpu_ms(one))
            limit = await send_callbacks(bare_url, secret, size.bare, lambda: cpu_ms(bare.pid))
            rounds.append(Round(product, limit))
        return rounds


async def send_callbacks(url: str, secret: str, count: int, used_ms: Callable[[], float | None]) -> Taken:
    """Send so many callbacks, 64 at once; `used_ms` tells what CPU the server has used so far.

    Connections are new ones: what was kept from the last round the server may have closed meanwhile.
    """
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=AT_ONCE)) as session:
        return await _send_callbacks(session, url, secret, count, used_ms)


async def _send_callbacks(
    session: aiohttp.ClientSession, url: str, secret: str, count: int, used_ms: Callable[[], float | None]
) -> Taken:
    requests = iter([_callback(secret) for _ in range(count)])
    times: list[float] = []
    now = asyncio.get_running_loop().time

    async def client() -> None:
        for body, headers in requests:
            sent = now()
            async with session.post(url, data=body, headers=headers) as answer:
                await answer.read()
                if not answer.ok:
                    raise BenchError(f"a callback was answered with {answer.status}")
            times.append(now() - sent)

    before, started = used_ms(), now()
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(client())
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    took, after = now() - started, used_ms()
    cpu_us = None if before is None or after is None else (after - before) * 1000 / count
    return Taken(count / took, times, cpu_us)


def _callback(secret: str) -> tuple[bytes, Mapping[str, str]]:
    """Return a callback as the vendor signs it, of a job of its own."""
    job_id = f"task_{secrets.token_hex(12)}"
    body = json.dumps({"task_id": job_id, "status": "processing", "note": ""})
    padding = "x" * (BODY_BYTES - len(body))
    headers = {**signed_headers(secret, job_id, system_clock()), "Content-Type": "application/json"}
    return body.replace('""', f'"{padding}"').encode(), headers


def _web_cpu_ms(one: Deployment) -> float | None:
    """Return what the process that takes callbacks used so far: the first one that was started."""
    return cpu_ms(next(iter(one.running.values())).pid)
