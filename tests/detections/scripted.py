"""A vendor in the test's hand: it answers what the test says, and remembers what it was asked."""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from service.detectors.answers import is_success, refusal
from service.detectors.enums import Authenticity, ReasonCode, RunStatus, Verdict
from service.detectors.exchange import Failure, NotSent, OutcomeUnknown
from service.detectors.port import Accepted, CallbackRefs, Capabilities, Needs, Prepared, Raw, Refused, RunContext
from service.detectors.reading import Reading

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
Answer = Raw | Exception | Callable[[RunContext], Awaitable[Raw]]

_READINGS = {
    "ai": Reading(status=RunStatus.SUCCEEDED, verdict=Verdict.AI_GENERATED, verdict_raw="ai"),
    "human": Reading(status=RunStatus.SUCCEEDED, verdict=Verdict.NO_AI_DETECTED, verdict_raw="human"),
    "short": Reading(status=RunStatus.NOT_APPLICABLE, reason_code=ReasonCode.TOO_SHORT),
    "broken": Reading(status=RunStatus.FAILED, reason_code=ReasonCode.VENDOR_ERROR, reason_text="broken"),
    "unpaid": Reading(status=RunStatus.FAILED, reason_code=ReasonCode.QUOTA_EXCEEDED, reason_text="out of credit"),
    "running": Reading(status=RunStatus.RUNNING),
    "odd": Reading(status=RunStatus.RUNNING, extras={"unknown_status": "odd"}),
}


def raw(body: object, status: int = 200, at: datetime = NOW, **headers: str) -> Raw:
    """An answer with this JSON body."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Raw(status, {"content-type": "application/json", **named}, json.dumps(body).encode(), at)


def job(job_id: str, estimate: int | None = None) -> Raw:
    """The vendor took it."""
    return raw({"job": job_id, "estimate": estimate})


def said(word: str, **more: object) -> Raw:
    """The vendor says how far it is: one of ai, human, short, broken, unpaid, running, odd."""
    return raw({"said": word, **more})


def not_sent() -> NotSent:
    return NotSent("POST http://vendor: not sent (refused)", Failure.REFUSED)


def lost() -> OutcomeUnknown:
    return OutcomeUnknown("POST http://vendor: outcome unknown (reset)", Failure.RESET)


@dataclass
class Scripted:
    """An adapter. Each list is answered from its front; asking more often than scripted fails the test."""

    vendor: str = "asc"
    detectors: Sequence[str] = ("asc",)
    taken: Capabilities = field(
        default_factory=lambda: Capabilities(frozenset({"wav"}), Needs.LINK, max_bytes=1000, callbacks="run")
    )
    prepares: list[Answer] = field(default_factory=list)
    submits: list[Answer] = field(default_factory=list)
    fetches: list[Answer] = field(default_factory=list)
    asked: list[tuple[str, RunContext]] = field(default_factory=list)

    def capabilities(self, detector: str) -> Capabilities:
        assert detector in self.detectors
        return self.taken

    def times(self, what: str) -> int:
        """How often it was asked to `prepare`, `submit` or `fetch`."""
        return sum(step == what for step, _ in self.asked)

    async def prepare(self, ask: RunContext) -> Raw:
        return await self._answer("prepare", self.prepares, ask)

    async def submit(self, ask: RunContext) -> Raw:
        return await self._answer("submit", self.submits, ask)

    async def fetch(self, ask: RunContext) -> Raw:
        return await self._answer("fetch", self.fetches, ask)

    async def check_credentials(self) -> Raw:
        raise NotImplementedError

    def parse_prepare(self, raw: Raw) -> Prepared | Refused:
        return Prepared(json.loads(raw.body)["ref"], {"title": "T"}) if is_success(raw) else refusal(raw)

    def parse_submit(self, raw: Raw) -> Accepted | Reading | Refused:
        if not is_success(raw):
            return refusal(raw)
        body = json.loads(raw.body)
        return Accepted(body["job"], body.get("estimate")) if "job" in body else _READINGS[body["said"]]

    def read(self, raw: Raw, detector: str) -> Reading | Refused:
        assert detector in self.detectors
        return _READINGS[json.loads(raw.body)["said"]] if is_success(raw) else refusal(raw)

    def verify(
        self, headers: Mapping[str, str], body: Mapping[str, object], secrets: Sequence[str], now: datetime
    ) -> Authenticity | None:
        del headers, body, secrets, now
        return Authenticity.URL_TOKEN

    def challenge(self, body: Mapping[str, object]) -> dict[str, object] | None:
        del body
        return None

    def refs(self, body: Mapping[str, object]) -> CallbackRefs | None:
        del body
        return CallbackRefs(None)

    async def _answer(self, what: str, answers: list[Answer], ask: RunContext) -> Raw:
        self.asked.append((what, ask))
        assert answers, f"{self.vendor} was asked to {what} once more than scripted"
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, Raw) else await answer(ask)


def aippim(
    *, prepares: Sequence[Answer] = (), submits: Sequence[Answer] = (), fetches: Sequence[Answer] = ()
) -> Scripted:
    """A vendor of two steps with one callback address for all runs."""
    taken = Capabilities(frozenset({"wav", "mp3"}), Needs.UPLOAD, prepares=True, callbacks="account")
    return Scripted("aippim", ("aippim/standard", "aippim/pro"), taken, [*prepares], [*submits], [*fetches])


def asc(*, submits: Sequence[Answer] = (), fetches: Sequence[Answer] = ()) -> Scripted:
    """A vendor of one step with a callback address for each run."""
    return Scripted(submits=[*submits], fetches=[*fetches])
