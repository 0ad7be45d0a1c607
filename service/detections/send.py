"""Taking one claimed run to its vendor: what is known beforehand, the first step, the submission, what came of it.

Each try is on record with the bytes that came back, and in the same transaction the ledger and the vendor's gate
learn what the answer tells them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Concatenate, NamedTuple, ParamSpec, TypeVar

from sqlmodel import Session

from service.detections.asks import AskBuilder
from service.detections.note_try import Errand, Outcome, Try
from service.detections.observe import Sighting
from service.detections.pay import Aftermath, begin_paid_submit, fail_over_budget, is_over_budget, with_aftermath
from service.detections.record import (
    record_accepted,
    record_answer,
    record_deferred,
    record_lost_sight,
    record_partial,
    record_prepared,
)
from service.detectors.answers import is_success
from service.detectors.catalogue import Line
from service.detectors.exchange import NotSent, OutcomeUnknown
from service.detectors.offers import SaysMore
from service.detectors.port import Accepted, Ask, Prepared, Raw, Refused
from service.detectors.reading import Reading
from service.detectors.words import Authenticity, ReasonCode, RunStatus, Via
from service.kit.clock import Clock, seconds
from service.kit.database import Database
from service.kit.talks import Cut, Talks
from service.media.models import Media
from service.runs.models import Run
from service.runs.policy import DetectionPolicy
from service.runs.takes import objection
from service.spending.hearing import heard

P = ParamSpec("P")
T = TypeVar("T")

_HTTP_REFUSALS = range(400, 600)
_ITS_WORKER_DIED = "The process that sent the submission ended before it could record an answer."
_OURS_ENDED = "The process that sent the submission was stopped before an answer came."


class Came(NamedTuple):
    """What came of a claimed run: a word for the log and the metrics, and the vendor's status if it answered."""

    outcome: str
    http_status: int | None = None


@dataclass(frozen=True, slots=True)
class Claimed:
    """A run that is ours for now, with what it needs, and when it was claimed."""

    run: Run
    token: str
    media: Media
    source_url: str | None
    source_name: str
    at: datetime


class Sender:
    """What one process needs to take runs to their vendors."""

    def __init__(
        self, database: Database, policy: DetectionPolicy, asks: AskBuilder, *, clock: Clock, talks: Talks
    ) -> None:
        self._database = database
        self._policy = policy
        self._asks = asks
        self._clock = clock
        self._talks = talks

    async def send(self, one: Claimed, line: Line) -> Came:
        """The run was submitted, or has ended, or waits; all of it is on record.

        Raises `Cut` where the process ends and nothing had left yet.
        """
        if (stopped := await self._stopped_before(one, line)) is not None:
            return stopped
        ask = self._asks.ask(one.run, one.media, line, one.source_url, one.source_name)
        ready = await self._prepare(one, replace(ask, tell=partial(self._tell, one)), line)
        if isinstance(ready, Came):
            return ready
        if self._talks.closed:
            raise Cut  # while nothing has left, another process can go on as if we had never begun
        now = self._clock()
        until = now + seconds(line.policy.lease)
        begun = await self._database.write(begin_paid_submit, one.run.id, one.token, self._policy, now, until, one.at)
        return Came(begun) if isinstance(begun, str) else await self._submit(one, line, ready, begun, now)

    async def lost_before(self, one: Claimed, line: Line) -> Came:
        """A submission that another process sent, and did not live to record, is of unknown outcome."""
        now = self._clock()
        why = _ITS_WORKER_DIED
        await self._database.write(record_lost_sight, one.run.id, one.token, why, line.policy, self._policy, now)
        return Came("lost_sight")

    async def _stopped_before(self, one: Claimed, line: Line) -> Came | None:
        """Why the run has ended without anything leaving, or `None`."""
        run, now = one.run, self._clock()
        capabilities = line.adapter.capabilities(run.detector)
        against = objection(capabilities, one.media)
        if against is not None:
            known = Reading(status=RunStatus.FAILED, reason_code=against.reason, reason_text=against.text)
            sighting = _sighting(_nothing_said(now), known)
            await self._database.write(record_answer, run.id, one.token, sighting, None, self._policy, now)
            return Came("answered")
        # Asked again, and for good, when the submission is about to leave; this only spares a useless upload.
        uploads = capabilities.prepares and run.prepared_ref is None
        if uploads and await self._database.read(is_over_budget, run, self._policy, now):
            await self._database.write(fail_over_budget, run.id, one.token, self._policy, now)
            return Came("over_budget")
        return None

    async def _prepare(self, one: Claimed, ask: Ask, line: Line) -> Ask | Came:
        """The ask, ready to be submitted; or what came of it instead. An upload may be repeated freely."""
        run = one.run
        if run.prepared_ref is not None or not line.adapter.capabilities(run.detector).prepares:
            return ask
        left_at = self._clock()
        try:
            raw = await self._talks.talk(line.adapter.prepare(ask))
        except (NotSent, OutcomeUnknown) as error:
            outcome = Outcome.NOT_SENT if isinstance(error, NotSent) else Outcome.UNKNOWN
            tried = Try(outcome, left_at, Errand.PREPARE)
            return await self._defer(one, line, _unreachable(error), tried, Aftermath(heard(None)))
        prepared = line.adapter.prepared(raw)
        after = Aftermath(heard(raw, prepared))
        if isinstance(prepared, Prepared):
            prepared = replace(prepared, other={**_names(_besides(line, raw)), **prepared.other})
            if not await self._record(one, line, after, record_prepared, run.id, one.token, prepared):
                return Came("lease_lost")
            return self._asks.prepared(ask, prepared.ref)
        return await self._refused(one, line, raw, prepared, Try(Outcome.REFUSED, left_at, Errand.PREPARE, raw), after)

    async def _submit(self, one: Claimed, line: Line, ready: Ask, charge_id: int, left_at: datetime) -> Came:
        """The submission leaves, and what became of it is on record."""
        try:
            raw = await self._talks.talk(line.adapter.submit(ready))
        except NotSent as error:
            after = Aftermath(heard(None), charge_id, taken=False)
            return await self._defer(one, line, _unreachable(error), Try(Outcome.NOT_SENT, left_at), after)
        except OutcomeUnknown as error:
            why = f"No answer came to the submission: {error}"
            known = (one.run.id, one.token, why, line.policy, self._policy, self._clock())
            await self._record(one, line, Aftermath(heard(None), charge_id), record_lost_sight, *known)
            return Came("outcome_unknown")
        except Cut:
            known = (one.run.id, one.token, _OURS_ENDED, line.policy, self._policy, self._clock())
            await self._database.write(record_lost_sight, *known)
            return Came("cut_while_submitting")
        return await self._submitted(one, line, raw, charge_id, left_at)

    async def _submitted(self, one: Claimed, line: Line, raw: Raw, charge_id: int, left_at: datetime) -> Came:
        said = line.adapter.accepted(raw)
        told, tried = heard(raw, said), Try(Outcome.ACCEPTED, left_at, raw=raw)
        if isinstance(said, Accepted):
            besides = _besides(line, raw)
            said, tried = replace(said, other={**_names(besides), **said.other}), replace(tried, besides=besides)
            after = Aftermath(told, charge_id, taken=True)
            known = (one.run.id, one.token, said, tried, line.policy, self._policy, self._clock())
            await self._record(one, line, after, record_accepted, *known)
            return Came("accepted", raw.status)
        if isinstance(said, Reading):
            # Whether a vendor charges for a track that it refuses, none of them says; for a refused request none does.
            taken = True if said.status is RunStatus.SUCCEEDED else False if raw.status in _HTTP_REFUSALS else None
            after = Aftermath(told, charge_id, taken=taken)
            return await self._answer(one, line, raw, said, replace(tried, outcome=Outcome.ANSWERED), after)
        # A success that we cannot read may have been taken; any other whole answer says that it was not.
        after = Aftermath(told, charge_id, taken=None if is_success(raw) else False)
        return await self._refused(one, line, raw, said, replace(tried, outcome=Outcome.REFUSED), after)

    async def _refused(
        self, one: Claimed, line: Line, raw: Raw, refused: Refused, tried: Try, after: Aftermath
    ) -> Came:
        if refused.retryable:
            return await self._defer(one, line, refused, replace(tried, outcome=Outcome.DEFERRED), after)
        return await self._answer(one, line, raw, refused, tried, after)

    async def _answer(
        self, one: Claimed, line: Line, raw: Raw, said: Reading | Refused, tried: Try, after: Aftermath
    ) -> Came:
        known = (one.run.id, one.token, _sighting(raw, said), tried, self._policy, self._clock())
        await self._record(one, line, after, record_answer, *known)
        return Came("answered" if isinstance(said, Reading) else "refused", raw.status)

    async def _defer(self, one: Claimed, line: Line, refused: Refused, tried: Try, after: Aftermath) -> Came:
        known = (one.run.id, one.token, refused, tried, self._policy, self._clock())
        await self._record(one, line, after, record_deferred, *known)
        return Came("deferred", tried.raw.status if tried.raw else None)

    async def _tell(self, one: Claimed, raw: Raw, said: Reading) -> None:
        """A part of the answer, as it comes, is where who follows the detection can see it."""
        await self._database.write(record_partial, one.run.id, one.token, _sighting(raw, said))

    async def _record(
        self,
        one: Claimed,
        line: Line,
        after: Aftermath,
        verb: Callable[Concatenate[Session, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """What `verb` returned; the ledger and the vendor's gate learn of the answer with it."""

        def both(session: Session) -> T:
            return with_aftermath(session, one.run, line, after, self._clock(), verb, *args, **kwargs)

        return await self._database.write(both)


def _besides(line: Line, raw: Raw) -> Reading | None:
    """What an answer to a first request says beside what it was asked for."""
    return line.adapter.besides(raw) if isinstance(line.adapter, SaysMore) else None


def _names(said: Reading | None) -> dict[str, str]:
    return said.refs.other if said is not None else {}


def _sighting(raw: Raw, said: Reading | Refused) -> Sighting:
    return Sighting(Via.SYNC, raw, said, Authenticity.TLS_FETCH)


def _nothing_said(now: datetime) -> Raw:
    return Raw(status=0, headers={}, body=b"", received_at=now)


def _unreachable(error: NotSent | OutcomeUnknown) -> Refused:
    return Refused(ReasonCode.VENDOR_ERROR, f"The vendor could not be reached: {error}", retryable=True)
