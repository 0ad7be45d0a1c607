"""From callback to customer: callbacks of many detections at a steady pace, and pushed; with the API beside it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, replace
from functools import partial
from statistics import median
from typing import Any

import aiohttp

from service.bench.driving.connections import connector
from service.bench.driving.generator import BenchError, Each, at_pace, from_clients, post_callback, timed
from service.bench.driving.outside import Outside, Serve, running_outside
from service.bench.driving.processes import Version
from service.bench.driving.vendor import Submitted, signed
from service.bench.driving.waiting import Pattern, Waiting, pattern_of
from service.bench.reach import AtLeast, Reach
from service.bench.report import heading, machine, quantile_ms, screen, table_with
from service.kit.db.database import Database

PUSHED_AT_ONCE = 64
_TWIN_SECONDS = 86_400.0  # the twin's own callbacks never come
_PATIENCE_SECONDS, _LOOK_SECONDS = 300.0, 0.05
_MOST_ASKED, _MOST_READ = 10.0, 20.0  # a second, beside the callbacks


@dataclass(frozen=True, slots=True)
class Pace:
    """So many callbacks a second, for so many seconds; beside it a tenth as many POSTs and a fifth as many GETs."""

    per_second: int
    seconds: float

    @property
    def callbacks(self) -> int:
        """Callbacks in all."""
        return round(self.per_second * self.seconds)

    @property
    def asked(self) -> int:
        """POST /v1/detections in all."""
        return round(min(self.per_second / 10, _MOST_ASKED) * self.seconds)

    @property
    def read(self) -> int:
        """GET /v1/detections/{id} in all."""
        return round(min(self.per_second / 5, _MOST_READ) * self.seconds)


@dataclass(frozen=True, slots=True)
class Size:
    """The paces, how many callbacks are pushed, and how often all of it is measured."""

    paces: Sequence[Pace]
    pushed: int
    warm_up: int
    rounds: int


FULL = Size([Pace(10, 15), Pace(100, 8), Pace(200, 6)], pushed=1_500, warm_up=50, rounds=3)
QUICK = Size([Pace(10, 2), Pace(100, 1), Pace(200, 1)], pushed=200, warm_up=10, rounds=1)


@dataclass(frozen=True, slots=True)
class Level:
    """What came of one pace, or of pushing (0): times in seconds, CPU in milliseconds a detection by process."""

    per_second: int
    completed_per_second: float
    passages: Sequence[float]
    acknowledged: Sequence[float]
    cpu_ms: Mapping[str, float]
    asked: Sequence[float] = ()
    read: Sequence[float] = ()


@dataclass(frozen=True, slots=True)
class Round:
    """One version, measured once."""

    version: str
    levels: Sequence[Level]


async def measure_round(serve: Serve, version: Version, server: str | None, size: Size) -> Round:
    """Run one version on a fresh database at all paces, and end it."""
    async with flowing(serve, version, server) as flow:
        await flow.push(size.warm_up)
        return Round(version.name, [*[await flow.keep(pace) for pace in size.paces], await flow.push(size.pushed)])


@asynccontextmanager
async def flowing(
    serve: Serve, version: Version, server: str | None, changed: Mapping[str, str] | None = None
) -> "AsyncIterator[Flow]":
    """Run one version on a fresh database, ready for callbacks of detections that wait for them; end it."""
    async with AsyncExitStack() as stack:
        outside = await stack.enter_async_context(running_outside(serve, version, server, _TWIN_SECONDS, changed))
        database = stack.enter_context(closing(Database(outside.deployment.environment["DATABASE_URL"])))
        pool = connector(limit=0)  # a callback must not wait for an earlier one's answer
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=pool))
        submitted = Submitted(outside.secrets)
        yield Flow(outside, session, await pattern_of(outside.customer, database, outside.folder, submitted))


@dataclass(frozen=True, slots=True)
class Flow:
    """A version that runs, and callbacks for it. One thing at a time is done with it."""

    outside: Outside
    session: aiohttp.ClientSession
    pattern: Pattern

    async def keep(self, pace: Pace) -> Level:
        """Send callbacks at this pace, whether or not the earlier ones are through; ask and read beside them."""
        waiting = await asyncio.to_thread(self.pattern.detections, pace.callbacks)
        media = await asyncio.to_thread(self.pattern.media, pace.asked)
        customer, asked, read = self.outside.customer, list[float](), list[float]()
        ask = timed(asked, lambda number: customer.ask(media[number]))
        look = timed(read, lambda number: customer.read(waiting[number].detection_id))

        async def send(each: Each) -> None:
            loads = (pace.callbacks, each), (pace.asked, ask), (pace.read, look)
            await asyncio.gather(*(at_pace(count / pace.seconds, count, made) for count, made in loads))

        level = await self._measured(pace.per_second, waiting, send)
        return replace(level, asked=asked, read=read)

    async def push(self, callbacks: int) -> Level:
        """Send callbacks as quickly as they are taken."""
        waiting = await asyncio.to_thread(self.pattern.detections, callbacks)
        return await self._measured(0, waiting, partial(from_clients, PUSHED_AT_ONCE, callbacks))

    async def _measured(
        self, per_second: int, waiting: Sequence[Waiting], send: Callable[[Each], Awaitable[object]]
    ) -> Level:
        one, now = self.outside.deployment, asyncio.get_running_loop().time
        sent, acknowledged = dict[str, float](), list[float]()
        url, secret = self.outside.callback_url, self.outside.secrets.webhook_secret

        async def call_back(number: int) -> None:
            each = waiting[number]
            headers, sent[each.detection_id] = signed(secret, each.job_id), now()
            await post_callback(self.session, url, each.body, headers)

        before, started = one.cpu_ms(), now()
        await send(timed(acknowledged, call_back))
        arrived = await self._arrived(sent)
        after, seconds = one.cpu_ms(), max(arrived.values()) - started
        return Level(
            per_second,
            completed_per_second=len(sent) / seconds,
            passages=[arrived[detection_id] - at for detection_id, at in sent.items()],
            acknowledged=acknowledged,
            cpu_ms={name: (spent - before[name]) / len(sent) for name, spent in after.items()},
        )

    async def _arrived(self, sent: Mapping[str, float]) -> Mapping[str, float]:
        """Return when the webhook of each of these detections came, once all have."""
        inbox, end = self.outside.customer.inbox, asyncio.get_running_loop().time() + _PATIENCE_SECONDS
        while missing := sent.keys() - inbox.arrived.keys():
            self.outside.deployment.must_run()
            if asyncio.get_running_loop().time() > end:
                raise BenchError(f"{len(missing)} of {len(sent)} webhooks did not come in {_PATIENCE_SECONDS:.0f} s")
            await asyncio.sleep(_LOOK_SECONDS)
        if wrong := [each for each in sent if inbox.verdicts[each] is None]:
            raise BenchError(f"{len(wrong)} detections ended without a verdict, {wrong[0]} among them")
        return {detection_id: inbox.arrived[detection_id] for detection_id in sent}


_TIMES: Mapping[str, Callable[[Level], Sequence[float]]] = {
    "callback_to_webhook": lambda level: level.passages,
    "callback_acknowledged": lambda level: level.acknowledged,
    "post_detections": lambda level: level.asked,
    "get_detection": lambda level: level.read,
}

# What is to be reached: first completed a second, then milliseconds, by pace and time.
_BOUND = [
    ("100", "callback_to_webhook_p99_ms"),
    ("100", "callback_acknowledged_p99_ms"),
    ("100", "post_detections_p99_ms"),
    ("100", "get_detection_p99_ms"),
    ("10", "callback_to_webhook_p50_ms"),
    ("10", "callback_to_webhook_p99_ms"),
]
_SQLITE, _POSTGRES = (200, 60, 60, 60, 40, 12, 40), (150, 90, 60, 60, 40, 20, 60)


def flow_report(rounds: Sequence[Round], size: Size, database: str) -> dict[str, Any]:
    """Return the medians over the rounds of each version, by pace."""
    versions = list(dict.fromkeys(each.version for each in rounds))
    paces = {str(pace.per_second): pace.callbacks for pace in size.paces} | {"pushed": size.pushed}
    return {
        "machine": machine(),
        "database": database,
        "rounds": size.rounds,
        "callbacks": paces,
        "flow": {
            version: {
                pace: _summary([each.levels[n] for each in rounds if each.version == version])
                for n, pace in enumerate(paces)
            }
            for version in versions
        },
    }


def flow_reached(report: Mapping[str, Any]) -> list[Reach]:
    """Return what is to be reached between callback and customer, and what was."""
    (_, this), *others = report["flow"].items()
    completed, *most = _POSTGRES if report["database"] == "PostgreSQL" else _SQLITE
    rate = this["pushed"]["completed_per_second"]
    return [
        AtLeast("completed, pushed", completed, rate, " /s"),
        *(AtLeast(f"the same x {name}", 5, rate / each["pushed"]["completed_per_second"]) for name, each in others),
        *(
            Reach(f"{time.replace('_', ' ').removesuffix(' ms')}, {pace}/s", bound, this[pace][time], " ms")
            for (pace, time), bound in zip(_BOUND, most, strict=True)
        ),
    ]


def show_flow(report: Mapping[str, Any]) -> None:
    """Print the report as a table."""
    console = screen()
    console.print(f"{heading(report)}: {report['rounds']} x callbacks at a pace, and as many as go at once.\n")
    used = list(dict.fromkeys(name for each in report["flow"].values() for name in each["pushed"]["cpu_ms"]))
    table = table_with(
        "version",
        *("callbacks", "completed /s", "p50 ms", "p99 ms", "acknowledged p99", "POST p99", "GET p99"),
        *(f"CPU ms: {name}" for name in used),
    )
    for version, paces in report["flow"].items():
        for pace, each in paces.items():
            times = (
                each["callback_to_webhook_p50_ms"],
                *(each[f"{name}_p99_ms"] for name in _TIMES),
            )
            table.add_row(
                version,
                pace if pace == "pushed" else f"{pace}/s",
                f"{each['completed_per_second']:.1f}",
                *("" if ms is None else f"{ms:.0f}" for ms in times),
                *(f"{each['cpu_ms'][name]:.1f}" if name in each["cpu_ms"] else "" for name in used),
            )
    console.print(table)


def _summary(levels: Sequence[Level]) -> dict[str, Any]:
    times = {
        f"{name}_p{percent}_ms": median(quantile_ms(of(each), percent) for each in levels) if of(levels[0]) else None
        for name, of in _TIMES.items()
        for percent in (50, 99)
    }
    used = {name: median(each.cpu_ms[name] for each in levels) for name in levels[0].cpu_ms}
    return {"completed_per_second": median(each.completed_per_second for each in levels), **times, "cpu_ms": used}
