"""What the vendor is asked for a detection, when its callbacks work and when every one is lost.

The twin takes as long as a vendor does, only quicker: all times, the plan of polls among them, are divided by one
number. Times that are told are multiplied by it again.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

from sqlmodel import Session, col, select

from service.bench.driving.generator import BenchError
from service.bench.driving.load import recording
from service.bench.driving.outside import Outside, Serve, running_outside
from service.bench.driving.processes import Version
from service.bench.driving.vendor import VENDOR
from service.bench.polling.spread import SpreadTwins, spread
from service.detectors.catalogue import VendorPolicy
from service.detectors.latency import ENOUGH, latency_of
from service.kit.db.database import Database
from service.runs.state.models import Run
from service.sandbox.app import SandboxSettings

MEDIAN_SECONDS, SIGMA = 35.0, 0.35
"""What a vendor takes: log-normal."""
_PARTS = 20  # in so many equal parts of the distribution
_PATIENCE_SECONDS = 120.0
_BY_DEFAULT = VendorPolicy(first_poll=45, poll=15, poll_max=300, deadline=3600, resubmit_after=90, timeout=60)


@dataclass(frozen=True, slots=True)
class Size:
    """How many detections there are of each kind, and by what all times are divided."""

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
