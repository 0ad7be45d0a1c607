"""What the vendor is asked for a detection, when its callbacks work and when every one is lost.

The twin takes as long as a vendor does, only quicker: all times, the plan of polls among them, are divided by one
number. Times that are told are multiplied by it again.
"""

import asyncio
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import cycle
from statistics import NormalDist, median
from typing import Any

from sqlmodel import Session, col, select
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.bench.driving.generator import BenchError
from service.bench.driving.load import recording
from service.bench.driving.outside import Outside, Serve, running_outside
from service.bench.driving.processes import Version
from service.bench.driving.vendor import VENDOR
from service.bench.reach import Reach
from service.bench.report import heading, machine, screen, table_with
from service.detectors.catalogue import VendorPolicy
from service.detectors.latency import ENOUGH, latency_of
from service.kit.db.database import Database
from service.runs.state.models import Run
from service.sandbox.app import Sandbox, SandboxSettings, create

_SUBMIT, _RESULT = "/ai-detection/", "/task/result/"
_KINDS = {"/music": "upload", _SUBMIT: "submission", _RESULT: "question"}


@dataclass
class SpreadTwins:
    """Twins whose submissions take these seconds, in turn. While `lost`, no callback leaves."""

    settings: SandboxSettings
    latencies: Sequence[float]
    lost: bool = False
    requests: Counter[str] = field(default_factory=Counter)
    """How many were answered, by kind: uploads, submissions, questions for the answer."""
    done_at: dict[str, float] = field(default_factory=dict)
    """When the answer of each task is there, by the event loop's clock."""
    _sandboxes: Sequence[Sandbox] = field(init=False)
    _of_task: dict[str, Sandbox] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make the twins; equal secrets let each know the others' ids."""
        self._sandboxes = [create(self._settings_of(seconds)) for seconds in self.latencies]
        self._next = cycle(zip(self._sandboxes, self.latencies, strict=True))

    @property
    def app(self) -> ASGIApp:
        """All of them, as one application."""
        return self

    async def aclose(self) -> None:
        """Drop what is still owed."""
        for sandbox in self._sandboxes:
            await sandbox.aclose()

    def _settings_of(self, seconds: float) -> SandboxSettings:
        url = self.settings.callback_url
        return replace(
            self.settings, latency_seconds=seconds, callback_url=lambda vendor: None if self.lost else url(vendor)
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on to the twin that it is for."""
        path = str(scope.get("path", ""))
        kind = next((kind for part, kind in _KINDS.items() if part in path), None)
        if kind is not None:
            self.requests[kind] += 1
        if kind == "submission":
            await self._submit(scope, receive, send)
            return
        sandbox = self._of_task.get(path.rpartition("/")[2], self._sandboxes[0])
        await sandbox.app(scope, receive, send)

    async def _submit(self, scope: Scope, receive: Receive, send: Send) -> None:
        (sandbox, seconds), taken_at, body = next(self._next), asyncio.get_running_loop().time(), bytearray()

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.body":
                body.extend(message.get("body", b""))
                if not message.get("more_body"):  # noted before the answer is sent
                    task_id = str(json.loads(body)["task_id"])
                    self._of_task[task_id], self.done_at[task_id] = sandbox, taken_at + seconds
            await send(message)

        await sandbox.app(scope, receive, noted)


def spread(median_seconds: float, sigma: float, count: int) -> list[float]:
    """Return so many times of a log-normal distribution: the middles of as many equal parts of it."""
    normal = NormalDist()
    return [median_seconds * math.exp(sigma * normal.inv_cdf((part + 0.5) / count)) for part in range(count)]


MEDIAN_SECONDS, SIGMA = 35.0, 0.35
"""What a vendor takes: log-normal."""
_PARTS = 20  # in so many equal parts of the distribution
_PATIENCE_SECONDS = 120.0
_BY_DEFAULT = VendorPolicy(first_poll=45, poll=15, poll_max=300, deadline=3600, resubmit_after=90, timeout=60)


@dataclass(frozen=True, slots=True)
class Size:
    """The size of a measurement: detections of each kind, and the number that all times are divided by."""

    detections: int
    quicker: float


FULL = Size(detections=60, quicker=5)
QUICK = Size(detections=20, quicker=25)


@dataclass(frozen=True, slots=True)
class Asked:
    """What one kind of callbacks led to under one plan, of all detections together. Lateness is in the vendor's time.

    A question that follows a callback confirms it; every other one is a poll.
    """

    plan: str
    lost: bool
    detections: int
    submit_steps: int
    confirmations: int
    polls: int
    late_seconds: Sequence[float]


def plans() -> Mapping[str, float]:
    """Return the seconds from acceptance to the first poll: as it comes, and once the vendor's times are known."""
    known = latency_of([round(each * 1000) for each in spread(MEDIAN_SECONDS, SIGMA, ENOUGH)])
    return {"as it comes": _BY_DEFAULT.first_wait(None), "measured": _BY_DEFAULT.first_wait(None, known)}


async def measure_polling(serve: Serve, server: str | None, size: Size) -> list[Asked]:
    """Ask under both plans, first with callbacks, then without. Each plan is a fresh start."""
    asked: list[Asked] = []
    for plan, first in plans().items():
        twins: list[SpreadTwins] = []

        def make(settings: SandboxSettings, made: list[SpreadTwins] = twins) -> SpreadTwins:
            made.append(SpreadTwins(settings, spread(MEDIAN_SECONDS / size.quicker, SIGMA, _PARTS)))
            return made[0]

        changed = _settings(first, size.quicker)
        async with running_outside(serve, Version("this version"), server, 0, changed, make) as outside:
            for lost in (False, True):
                twins[0].lost = lost
                asked.append(await _asked(outside, twins[0], plan, size))
    return asked


async def _asked(outside: Outside, twins: SpreadTwins, plan: str, size: Size) -> Asked:
    before, customer, now = twins.requests.copy(), outside.customer, asyncio.get_running_loop().time
    media = [await customer.upload(recording()) for _ in range(size.detections)]
    ids = [await customer.ask(each) for each in media]
    end = now() + _PATIENCE_SECONDS
    try:
        arrived = [await customer.inbox.wait_for(each, end - now()) for each in ids]
    except TimeoutError:
        raise BenchError(f"not all webhooks came within {_PATIENCE_SECONDS:.0f} s") from None
    with closing(Database(outside.deployment.environment["DATABASE_URL"])) as database:
        runs = await database.read(_runs, ids)
    made = twins.requests - before
    confirmations = sum(confirmed for _, confirmed in runs.values())
    late = [at - twins.done_at[runs[each][0]] for each, at in zip(ids, arrived, strict=True)]
    return Asked(
        plan,
        twins.lost,
        size.detections,
        submit_steps=made["upload"] + made["submission"],
        confirmations=confirmations,
        polls=made["question"] - confirmations,
        late_seconds=[each * size.quicker for each in late],
    )


def _runs(session: Session, detection_ids: Sequence[str]) -> dict[str, tuple[str, int]]:
    """Return, by detection, the vendor's name for its run and how often a callback was confirmed."""
    wanted = select(Run.detection_id, Run.vendor_job_id, Run.confirmations)
    rows = session.exec(wanted.where(col(Run.detection_id).in_(detection_ids)))
    return {detection_id: (str(job_id), confirmations) for detection_id, job_id, confirmations in rows}


def _settings(first_poll: float, quicker: float) -> Mapping[str, str]:
    plan = {"FIRST_POLL": first_poll, "POLL": _BY_DEFAULT.poll, "POLL_MAX": _BY_DEFAULT.poll_max}
    return {
        f"{VENDOR.upper()}_CALLBACK_TRUST": "confirm",
        **{f"{VENDOR.upper()}_{name}_SECONDS": f"{seconds / quicker:g}" for name, seconds in plan.items()},
    }


def polling_report(asked: Sequence[Asked], size: Size, database: str) -> dict[str, Any]:
    """Return, for each plan with callbacks and without, the vendor's requests for a detection, and how late it was."""
    return {
        "machine": machine(),
        "database": database,
        "detections": size.detections,
        "quicker": size.quicker,
        "vendor_median_seconds": MEDIAN_SECONDS,
        "vendor_sigma": SIGMA,
        "first_poll_seconds": dict(plans()),
        "polling": [_summary(each) for each in asked],
    }


def polling_reached(report: Mapping[str, Any]) -> list[Reach]:
    """Return what is to be reached of polls, and what was: after measuring with callbacks, before it without."""
    measured = {(each["plan"], each["callbacks"]): each for each in report["polling"]}
    with_callbacks, without = measured["measured", "work"], measured["as it comes", "lost"]
    return [
        Reach("polls each, callbacks work", 0.1, with_callbacks["polls"]),
        Reach("polls each, every callback lost", 3, without["polls"]),
        Reach("late at the median, every callback lost", 5, without["late_p50_seconds"], " s"),
    ]


def show_polling(report: Mapping[str, Any]) -> None:
    """Print the report as a table."""
    console = screen()
    console.print(
        f"{heading(report)}: {report['detections']} detections of each kind; the vendor takes"
        f" {report['vendor_median_seconds']:.0f} s at the median (log-normal, sigma {report['vendor_sigma']}),"
        f" all {report['quicker']:g} times as quick.\n"
    )
    table = table_with("first poll", "s", "callbacks", "submit steps", "confirmations", "polls", "late p50 s")
    for each in report["polling"]:
        table.add_row(
            each["plan"],
            f"{report['first_poll_seconds'][each['plan']]:.0f}",
            each["callbacks"],
            *(f"{each[name]:.2f}" for name in ("submit_steps", "confirmations", "polls")),
            f"{each['late_p50_seconds']:.1f}",
        )
    console.print(table)


def _summary(asked: Asked) -> dict[str, Any]:
    return {
        "plan": asked.plan,
        "callbacks": "lost" if asked.lost else "work",
        "submit_steps": asked.submit_steps / asked.detections,
        "confirmations": asked.confirmations / asked.detections,
        "polls": asked.polls / asked.detections,
        "late_p50_seconds": median(asked.late_seconds),
    }
