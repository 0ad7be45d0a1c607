"""Asking a vendor how far a run is: claim, fetch, hand the input in. The worker calls `step` when woken.

A poll is due by the run's plan, at once when a callback claimed an end, and a last time at the deadline. A callback
that comes after the deadline makes its run due for one poll more.
"""

import asyncio
from collections import Counter
from dataclasses import replace
from functools import partial

import structlog

from service.detectors.answers import unknown_status
from service.detectors.catalogue import ConfiguredVendor
from service.detectors.enums import Authenticity, ReasonCode, Via
from service.detectors.exchange import VendorError
from service.detectors.port import Raw, Refused
from service.detectors.reading import Reading
from service.kit.clock import Clock, milliseconds_between
from service.kit.concurrency.shares import Shares
from service.kit.concurrency.task_pool import ShutdownInterrupt, TaskPool
from service.kit.db.database import Database
from service.kit.telemetry.metrics import Count
from service.quotas.feedback import feedback_from
from service.quotas.gate_store import GateUpdate
from service.runs.filename_match import as_asked, of_this_run
from service.runs.inputs import Polled, PollReleased, VendorAnswer
from service.runs.policy import DetectionPolicy
from service.runs.runner import Runner
from service.runs.topics import TOPIC_POLLS
from service.vendor_calls.admission import ClaimedPoll, claim_polls
from service.vendor_calls.run_context import VENDOR_REQUESTS, RunContextBuilder

log = structlog.get_logger()

POLLS = Count("relay_polls_total", "Looks at a run, by what came of them.", "detector", "outcome")


class Poller:
    """The polls of one process. `holder` begins the lease tokens of its claims."""

    def __init__(
        self,
        database: Database,
        policy: DetectionPolicy,
        contexts: RunContextBuilder,
        *,
        clock: Clock,
        capacity: int = 32,
        runner: Runner | None = None,
        holder: str = "",
    ) -> None:
        self._database = database
        self._policy = policy
        self._contexts = contexts
        self._clock = clock
        self._holder = holder
        self._places = Shares(capacity)
        self._under_way: set[asyncio.Task[None]] = set()
        self._pool = TaskPool()
        self._runner = runner or Runner(database, policy, clock)
        self.counts: Counter[str] = Counter()

    async def step(self) -> bool:
        """Poll due runs, as many as there is room for. Return True if there may be more to claim now."""
        room = self._places.room
        if self._pool.closed or room <= 0:
            return False
        shares = self._places.copy()
        claimed, more = await self._database.write(
            claim_polls,
            self._policy.catalogue,
            now=self._clock(),
            limit=room,
            holder=self._holder,
            shares=shares,
        )
        self._places.refused |= shares.refused  # they are woken for when a good many of their places are free
        for one in claimed:
            self._places.hold(one.run.vendor)
            task = asyncio.create_task(self._poll(one))
            self._under_way.add(task)
            task.add_done_callback(partial(self._finish, one.run.vendor))
        if self._pool.closed and self._under_way:
            await asyncio.wait(set(self._under_way))  # the drain may have been over before this claim was
        if not self._places.room and self._under_way:
            await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
            return True
        return more

    async def drain(self, within: float) -> None:
        """Start nothing new; what is under way has `within` seconds. What is cut then is released, due at once."""
        await self._pool.drain(self._under_way, within)

    def _finish(self, vendor: str, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if self._places.release(vendor):
            self._database.wake.notify([TOPIC_POLLS])
        if not task.cancelled() and (error := task.exception()):
            # Its lease runs out, it is polled again, and at the latest its deadline ends it.
            log.error("poll.crashed", exc_info=error)

    async def _poll(self, one: ClaimedPoll) -> None:
        run, token = one.run, one.claim.token
        configured = self._policy.catalogue.configured(run.mode, run.vendor)
        polled_at = self._clock()
        raw: Raw | None = None
        try:
            if configured is not None and one.asks:
                raw = await self._fetch(one, configured)
        except ShutdownInterrupt:
            outcome = await self._runner.put(PollReleased(run.id, token, one.confirms))
        else:
            parsed = self._read(one, configured, raw) if configured is not None and raw is not None else None
            answer = _answer(one, raw, parsed) if raw is not None and parsed is not None else None
            happened = Polled(run.id, token, polled_at, one.confirms, answer)
            feedback = None
            if configured is not None and one.asks:
                feedback = GateUpdate((run.mode, run.vendor), configured.policy.limits, feedback_from(raw, parsed))
            outcome = await self._runner.put(happened, feedback)
            self._note_unknown_status(one, parsed, outcome)
        self.counts[outcome] += 1
        POLLS.add(run.detector, outcome)
        log.info(
            "run.polled",
            run_id=run.id,
            detection_id=run.detection_id,
            account_id=run.account_id,
            mode=run.mode,
            vendor=run.vendor,
            detector=run.detector,
            confirms=one.confirms,
            poll=run.polls,
            http_status=raw.status if raw else None,
            outcome=outcome,
            took_ms=milliseconds_between(polled_at, self._clock()),
        )

    async def _fetch(self, one: ClaimedPoll, configured: ConfiguredVendor) -> Raw | None:
        claim, run = one.claim, one.run
        context = self._contexts.build(claim.run, claim.media, configured, claim.source_url, claim.source_name)
        try:
            return await VENDOR_REQUESTS.timed(
                self._pool.run(configured.adapter.fetch(context)), run.vendor, run.mode, "poll"
            )
        except VendorError:
            return None  # a question may be asked again whatever became of it

    @staticmethod
    def _read(one: ClaimedPoll, configured: ConfiguredVendor, raw: Raw) -> Reading | Refused:
        run, adapter = one.run, configured.adapter
        read = as_asked(run.vendor, run.detector, adapter.read(raw, run.detector), adapter.detectors)
        parsed = of_this_run(run, read)
        if isinstance(parsed, Refused) and parsed.reason_code is ReasonCode.QUOTA_EXCEEDED:
            return replace(parsed, retryable=True)  # the vendor has the job: that it wants money for more ends no run
        return parsed

    @staticmethod
    def _note_unknown_status(one: ClaimedPoll, parsed: Reading | Refused | None, outcome: str) -> None:
        if outcome == "pending" and isinstance(parsed, Reading) and parsed.met_unknown_status:
            word = unknown_status(parsed.extras)
            log.warning("vendor.unknown_status", run_id=one.run.id, detector=one.run.detector, status=word)


def _answer(one: ClaimedPoll, raw: Raw, parsed: Reading | Refused) -> VendorAnswer:
    """Return the way the answer came: by callback for a poll that confirms one, else by poll."""
    if one.confirms:
        authenticity = Authenticity(one.run.callback_authenticity or Authenticity.NONE)
        return VendorAnswer(Via.CALLBACK, raw, parsed, authenticity, confirmed_by_fetch=True)
    return VendorAnswer(Via.POLL, raw, parsed, Authenticity.TLS_FETCH)
