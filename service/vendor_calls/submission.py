"""Taking one claimed run to its vendor: what is known beforehand, the first step, the submission, what came of it.

Each try is on record with the bytes that came back, and in the same transaction the ledger and the vendor's gate
learn what the answer tells them.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from service.billing.budgets import over_budget
from service.detectors.answers import is_success
from service.detectors.catalogue import ConfiguredVendor
from service.detectors.enums import Authenticity, ReasonCode, RunStatus, Via
from service.detectors.exchange import NotSent
from service.detectors.exchange import OutcomeUnknown as NoAnswer
from service.detectors.extensions import ReadsFirstAnswers
from service.detectors.port import Accepted, Prepared, Raw, Refused, RunContext
from service.detectors.reading import Reading
from service.kit.clock import Clock, seconds
from service.kit.concurrency.task_pool import ShutdownInterrupt, TaskPool
from service.kit.db.database import Database
from service.quotas.feedback import GateFeedback, feedback_from
from service.quotas.gate_store import GateUpdate
from service.runs.accepted_audio import objection
from service.runs.inputs import (
    AnsweredAtOnce,
    Begun,
    Deferred,
    Input,
    Leaving,
    NotTaken,
    OutcomeUnknown,
    OverBudget,
    PartialAnswer,
    SubmissionAttempt,
    SubmissionOutcome,
    SubmissionStep,
    Uploaded,
    VendorAccepted,
    VendorAnswer,
)
from service.runs.policy import DetectionPolicy
from service.runs.runner import Runner
from service.vendor_calls.claimed_runs import ClaimedRun
from service.vendor_calls.run_context import VENDOR_REQUESTS, RunContextBuilder

_HTTP_REFUSALS = range(400, 600)
_ITS_WORKER_DIED = "The process that sent the submission ended before it could record an answer."
_OURS_ENDED = "The process that sent the submission was stopped before an answer came."
_UNREADABLE = "An answer came to the submission, and it cannot be read: {}"


FirstStep = tuple[Uploaded, GateUpdate | None]
"""What an upload brought, for the run and for the vendor's gate.

Its success says nothing to the gate: the submission that follows at once tells whether the vendor works.
"""


class Came(NamedTuple):
    """What came of a claimed run: a word for the log and the metrics, and the vendor's status if it answered."""

    outcome: str
    http_status: int | None = None


class Sender:
    """What one process needs to take runs to their vendors."""

    def __init__(
        self,
        database: Database,
        policy: DetectionPolicy,
        contexts: RunContextBuilder,
        *,
        clock: Clock,
        pool: TaskPool,
        runner: Runner,
    ) -> None:
        self._database = database
        self._policy = policy
        self._contexts = contexts
        self._clock = clock
        self._pool = pool
        self._runner = runner

    async def send(self, one: ClaimedRun, configured: ConfiguredVendor) -> Came:
        """Submit the run, or end it, or let it wait; all of it is on record.

        Raise `ShutdownInterrupt` where the process ends and nothing had left yet.
        """
        if (stopped := await self._stopped_before(one, configured)) is not None:
            return stopped
        context = self._contexts.build(one.run, one.media, configured, one.source_url, one.source_name)
        ready = await self._prepare(one, replace(context, on_partial=partial(self._keep_part, one)), configured)
        if isinstance(ready, Came):
            return ready
        context, first_step = ready
        if self._pool.closed:
            if first_step is not None:
                await self._runner.put(*first_step)
            raise ShutdownInterrupt  # while nothing has left, another process can go on as if we had never begun
        left_at = self._clock()
        leaving = Leaving(
            one.run.id, one.token, left_at + seconds(configured.policy.lease), one.at, (one.run.mode, one.run.vendor)
        )
        begun = await self._begin(first_step, leaving)
        return Came(begun) if isinstance(begun, str) else await self._submit(one, configured, context, begun)

    async def lost_before(self, one: ClaimedRun) -> Came:
        """Record an unknown outcome for a submission that another process sent and did not live to record."""
        await self._runner.put(OutcomeUnknown(one.run.id, one.token, _ITS_WORKER_DIED))
        return Came("lost_sight")

    async def _begin(self, first_step: "FirstStep | None", leaving: Leaving) -> Begun | str:
        """Put on record that the submission leaves; return the charge and when, or why it does not leave.

        What the first step brought is kept in the same transaction.
        """
        if first_step is None:
            begun: Begun | str = await self._runner.put(leaving)
            return begun
        _, begun = await asyncio.gather(self._runner.put(*first_step), self._runner.put(leaving))
        return begun

    async def _stopped_before(self, one: ClaimedRun, configured: ConfiguredVendor) -> Came | None:
        """Return why the run has ended without anything leaving, or `None`."""
        run = one.run
        capabilities = configured.adapter.capabilities(run.detector)
        against = objection(capabilities, one.media)
        if against is not None:
            await self._runner.put(NotTaken(run.id, one.token, against.reason, against.text))
            return Came("answered")
        # Asked again, and for good, when the submission is about to leave; this only spares a useless upload.
        uploads = capabilities.prepares and run.prepared_ref is None
        if uploads and await self._is_over_budget(one):
            await self._runner.put(OverBudget(run.id, one.token))
            return Came("over_budget")
        return None

    async def _is_over_budget(self, one: ClaimedRun) -> bool:
        run, prices, now = one.run, self._policy.prices, self._clock()
        price = prices.price_of(run.detector, now)
        if not one.has_budget or price.amount_micros == 0 or (price.amount_micros is None and prices.unknown_passes):
            return False
        asked = (run.account_id, run.mode, price, now)
        return await self._database.read(over_budget, *asked, unknown_passes=prices.unknown_passes) is not None

    async def _prepare(
        self, one: ClaimedRun, context: RunContext, configured: ConfiguredVendor
    ) -> "tuple[RunContext, FirstStep | None] | Came":
        """Return the context, ready to be submitted, and the first step; or what came of it instead.

        An upload may be repeated freely.
        """
        run = one.run
        if run.prepared_ref is not None or not configured.adapter.capabilities(run.detector).prepares:
            return context, None
        left_at = self._clock()
        try:
            raw = await self._request(one, SubmissionStep.PREPARE, configured.adapter.prepare(context))
        except (NotSent, NoAnswer) as error:
            outcome = SubmissionOutcome.NOT_SENT if isinstance(error, NotSent) else SubmissionOutcome.UNKNOWN
            attempt = SubmissionAttempt(outcome, left_at, SubmissionStep.PREPARE)
            happened = Deferred(run.id, one.token, _unreachable(error), attempt)
            await self._put(one, configured, happened, feedback_from(None))
            return Came("deferred")
        prepared = configured.adapter.parse_prepare(raw)
        if isinstance(prepared, Prepared):
            prepared = replace(prepared, other={**_names(_beside(configured, raw)), **prepared.other})
            uploaded = Uploaded(run.id, one.token, prepared)
            told = feedback_from(raw, prepared)
            feedback = None if told.plain else _feedback(one, configured, told)
            return self._contexts.with_prepared(context, prepared.ref), (uploaded, feedback)
        attempt = SubmissionAttempt(SubmissionOutcome.REFUSED, left_at, SubmissionStep.PREPARE, raw)
        return await self._refused(one, configured, raw, prepared, attempt, None)

    async def _submit(self, one: ClaimedRun, configured: ConfiguredVendor, context: RunContext, begun: Begun) -> Came:
        """Let the submission leave, and put on record what became of it."""
        run_id, token = one.run.id, one.token
        try:
            raw = await self._request(one, SubmissionStep.SUBMIT, configured.adapter.submit(context))
        except NotSent as error:
            attempt = SubmissionAttempt(SubmissionOutcome.NOT_SENT, begun.left_at)
            happened = Deferred(run_id, token, _unreachable(error), attempt, begun.charge_id)
            await self._put(one, configured, happened, feedback_from(None))
            return Came("deferred")
        except NoAnswer as error:
            why = f"No answer came to the submission: {error}"
            await self._put(one, configured, OutcomeUnknown(run_id, token, why), feedback_from(None))
            return Came("outcome_unknown")
        except ShutdownInterrupt:
            await self._runner.put(OutcomeUnknown(run_id, token, _OURS_ENDED))
            return Came("cut_while_submitting")
        return await self._submitted(one, configured, raw, begun)

    async def _request(self, one: ClaimedRun, step: SubmissionStep, request: Coroutine[Any, Any, Raw]) -> Raw:
        """Return the vendor's answer, and measure how long it took."""
        return await VENDOR_REQUESTS.timed(self._pool.run(request), one.run.vendor, one.run.mode, step.value)

    async def _submitted(self, one: ClaimedRun, configured: ConfiguredVendor, raw: Raw, begun: Begun) -> Came:
        parsed = configured.adapter.parse_submit(raw)
        told = feedback_from(raw, parsed)
        attempt = SubmissionAttempt(SubmissionOutcome.ACCEPTED, begun.left_at, raw=raw)
        run_id, token, charge_id = one.run.id, one.token, begun.charge_id
        if isinstance(parsed, Accepted):
            beside = _beside(configured, raw)
            parsed, attempt = replace(parsed, other={**_names(beside), **parsed.other}), replace(attempt, beside=beside)
            happened = VendorAccepted(run_id, token, parsed, attempt, charge_id)
            await self._put(one, configured, happened, replace(told, taken=True))
            return Came("accepted", raw.status)
        if isinstance(parsed, Reading):
            # Whether a vendor charges for a track that it refuses, none of them says; for a refused request none does.
            taken = True if parsed.status is RunStatus.SUCCEEDED else False if raw.status in _HTTP_REFUSALS else None
            attempt = replace(attempt, outcome=SubmissionOutcome.ANSWERED)
            answered = AnsweredAtOnce(run_id, token, _answer(raw, parsed), attempt, charge_id, taken)
            await self._put(one, configured, answered, replace(told, taken=True) if taken else told)
            return Came("answered", raw.status)
        if is_success(raw) and parsed.reason_code is ReasonCode.SCHEMA_MISMATCH and not parsed.retryable:
            # It may have been taken, and paid for; what it says is not known.
            attempt = replace(attempt, outcome=SubmissionOutcome.UNKNOWN)
            why = _UNREADABLE.format(parsed.reason_text)
            await self._put(one, configured, OutcomeUnknown(run_id, token, why, attempt, parsed), told)
            return Came("outcome_unknown", raw.status)
        attempt = replace(attempt, outcome=SubmissionOutcome.REFUSED)
        # A success that is not an answer may have been taken; any other whole answer says that it was not.
        return await self._refused(
            one, configured, raw, parsed, attempt, charge_id, taken=None if is_success(raw) else False
        )

    async def _refused(
        self,
        one: ClaimedRun,
        configured: ConfiguredVendor,
        raw: Raw,
        refused: Refused,
        attempt: SubmissionAttempt,
        charge_id: int | None,
        *,
        taken: bool | None = None,
    ) -> Came:
        told = feedback_from(raw, refused)
        if refused.retryable:
            attempt = replace(attempt, outcome=SubmissionOutcome.DEFERRED)
            happened = Deferred(one.run.id, one.token, refused, attempt, charge_id, taken)
            outcome = await self._put(one, configured, happened, told)
            return Came("refused" if outcome == "refused" else "deferred", raw.status)
        answered = AnsweredAtOnce(one.run.id, one.token, _answer(raw, refused), attempt, charge_id, taken)
        await self._put(one, configured, answered, told)
        return Came("refused", raw.status)

    async def _keep_part(self, one: ClaimedRun, raw: Raw, parsed: Reading) -> None:
        """Keep a part of the answer, as it comes, where those who follow the detection can see it."""
        await self._runner.put(PartialAnswer(one.run.id, one.token, _answer(raw, parsed)))

    async def _put(self, one: ClaimedRun, configured: ConfiguredVendor, happened: Input, told: GateFeedback) -> object:
        """Hand the input in, and with it what the answer tells the vendor's gate; return its outcome."""
        return await self._runner.put(happened, _feedback(one, configured, told))


def _feedback(one: ClaimedRun, configured: ConfiguredVendor, told: GateFeedback) -> GateUpdate:
    return GateUpdate((one.run.mode, one.run.vendor), configured.policy.limits, told)


def _beside(configured: ConfiguredVendor, raw: Raw) -> Reading | None:
    """Return what an answer to a first request says beside what it was asked for."""
    return configured.adapter.parse_beside(raw) if isinstance(configured.adapter, ReadsFirstAnswers) else None


def _names(parsed: Reading | None) -> dict[str, str]:
    return parsed.refs.other if parsed is not None else {}


def _answer(raw: Raw, parsed: Reading | Refused) -> VendorAnswer:
    return VendorAnswer(Via.SYNC, raw, parsed, Authenticity.TLS_FETCH)


def _unreachable(error: NotSent | NoAnswer) -> Refused:
    return Refused(ReasonCode.VENDOR_ERROR, f"The vendor could not be reached: {error}", retryable=True)
